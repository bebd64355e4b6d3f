"""A synthetic economy beside public sets: how far its margins lie apart, and whether what is learnt on it transfers."""
