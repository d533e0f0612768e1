"""Metrics with intervals, paired comparisons, equivalence, and claims over tasks."""
