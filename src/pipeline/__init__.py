"""The method section: prepare a run, compute it, assemble its record."""
