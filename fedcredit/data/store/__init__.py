"""Rows of the sources become a history that outlives a crash."""
