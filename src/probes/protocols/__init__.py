"""Protocols that fit a probe: the suite's own, and published ones on the same features.

A protocol is one class in one file of this folder. `probe.protocol` holds its name and its
settings, which are the fields of the class. Importing the package registers all of them.
"""

from src.probes.protocols import mdl, mteb, senteval

__all__ = ["mdl", "mteb", "senteval"]
