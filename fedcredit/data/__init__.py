"""A table becomes features."""
