"""Whether progress bars are shown."""

from __future__ import annotations

import sys


def hides_bar(wanted: bool) -> bool | None:
    """Return tqdm's argument `disable`: bars that are wanted are shown on a terminal and in a notebook."""
    if not wanted:
        return True
    return False if "ipykernel" in sys.modules else None  # a notebook's stream is no terminal
