"""From a probability of default to a decision: grades, calibrated PDs, points and a price; arrays in, values out."""
