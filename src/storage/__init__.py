"""What lies on disk: content keys, files written whole or not at all, arrays, shards, locks."""
