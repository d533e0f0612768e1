"""Fine-tuning of all weights under a linear head on one pooling."""
