"""Parts of a sentence-transformers folder: the cut encoder, the modules after it, the card."""
