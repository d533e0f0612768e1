"""Datasets from the hub, official downloads, the user's files and generated tasks."""
