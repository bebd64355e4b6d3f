"""Raw tables of an institution become checked rows, indicators of every company, and a feature table."""
