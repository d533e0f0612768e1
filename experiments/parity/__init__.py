"""Comparison of the implementations that the question names, on the same weights and sentences."""
