"""What a process runs on: clock, provenance, the hub."""
