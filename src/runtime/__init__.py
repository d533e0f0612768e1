"""Clock, device, threads, network and provenance of a process."""
