"""Epsilon for a planned training, and training that keeps to it: company-level DP-SGD with Opacus."""
