"""Whose rules a probe follows: this suite's own, or those of a published protocol, on the same frozen features.

A protocol is one class in one file of this folder; `probe.protocol` holds its name, and its settings, which are the fields of the class.
"""

from src.probes.protocols import mdl, mteb, senteval
from src.probes.protocols.base import Protocol, over_draws, protocols, rules

__all__ = ["Protocol", "mdl", "mteb", "over_draws", "protocols", "rules", "senteval"]
