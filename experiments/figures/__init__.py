"""One file per figure; each reads a table of scores and nothing else."""
