"""Pre-training of small BERTs, from plain text to a checkpoint and its held-out figures."""
