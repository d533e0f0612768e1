"""Solvers of the convex probes, and the estimators that wrap them."""
