"""Twelve quarterly retrains within one lifetime's epsilon: what they lose, and what happens when it is spent."""
