"""Datasets: texts and labels from the hub, official downloads, the user's files and generated tasks."""
