"""The record of a run on disk, its cache and its display."""
