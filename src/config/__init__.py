"""The groups of the configuration as frozen dataclasses."""
