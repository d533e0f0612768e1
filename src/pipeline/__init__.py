"""Prepare a run, compute it and assemble its record."""
