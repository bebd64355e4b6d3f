"""A whole consortium on one machine: founded, joined, started, used and stopped."""
