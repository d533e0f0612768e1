"""Checkpoints, tokenizers and frozen encoders, and the diagnosis of the pooler."""
