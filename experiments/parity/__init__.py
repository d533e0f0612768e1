"""Comparison of implementations of BERT on the same weights and sentences."""
