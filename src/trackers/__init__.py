"""Experiment trackers, which mirror the records."""
