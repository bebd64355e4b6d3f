"""What an institution installs, runs and audits."""
