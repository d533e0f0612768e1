"""Fit a read-out on features by a protocol, and trivial baselines."""
