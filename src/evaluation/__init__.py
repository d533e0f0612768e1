"""Metrics, intervals, paired tests, equivalence, claims over tasks."""
