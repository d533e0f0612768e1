"""Linear probes on frozen BERT features: what [CLS], the pooler and mean pooling are worth."""

__version__ = "0.1.0"
