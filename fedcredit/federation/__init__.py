"""Safe updates become a model."""
