"""Builds the paper from the committed records."""
