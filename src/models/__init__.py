"""Checkpoints, tokenizers and frozen encoders, and diagnosis of the pooler."""
