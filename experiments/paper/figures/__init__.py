"""The figures of the paper, a module each: ``PLACE`` (its number), ``NEEDS`` (records), ``CAPTION`` and ``draw``."""
