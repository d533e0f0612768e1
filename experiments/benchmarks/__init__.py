"""Benchmarks: speed against named peers, the cost of a representation, the error rates of the statistics."""
