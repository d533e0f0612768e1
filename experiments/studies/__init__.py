"""Studies beside the frozen probes: other trainings, other weights, other questions."""
