"""A registered model becomes its validation file: evidence in figures, a page, and what no figure covers."""
