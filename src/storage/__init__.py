"""Content keys, files written whole or not at all, arrays, shards and locks on disk."""
