"""What the platform runs."""
