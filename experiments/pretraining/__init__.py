"""Pre-training of the embedded encoder: text to token arrays, token arrays to segment pairs, segment pairs to a checkpoint."""
