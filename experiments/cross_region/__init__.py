"""The study of cross-region recognition."""
