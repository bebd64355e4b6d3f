"""The champion's scores: written into a book, kept younger than 72 hours, and answered from it."""
