"""Benchmarks of speed and cost, and the error rates of the statistics."""
