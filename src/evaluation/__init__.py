"""Metrics with intervals, paired comparisons, equivalence tests, and claims over tasks."""
