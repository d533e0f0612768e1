"""Names the poolers of `experiments.studies.nsp_pooler`, for readers that need no torch."""

ARMS = ("random", "nsp")  # a pooler's start, and what next-sentence prediction made of it
