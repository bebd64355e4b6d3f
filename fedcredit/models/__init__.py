"""Plain torch models and the loops that train and score them; they know nothing of Flower or of privacy."""
