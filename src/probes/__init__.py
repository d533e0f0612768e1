"""Fit a linear probe on features by a protocol, and score trivial baselines."""
