"""A validated bundle becomes the champion: gates, evidence, two signatures, a history, and the way back."""
