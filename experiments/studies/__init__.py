"""Studies beside the frozen probes: fine-tuning, conditional probing, controlled and random weights."""
