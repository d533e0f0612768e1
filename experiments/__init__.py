"""Builds the paper, reports, studies and benchmarks on `src/`, which never imports this package."""
