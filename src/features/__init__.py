"""One text column to one matrix: read what is stored, encode what is missing."""
