"""Turn one text column into one matrix: read what is stored, encode what is missing."""
