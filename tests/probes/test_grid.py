"""Laws of the choice from the grid."""

from __future__ import annotations

import numpy as np
import pytest

from src.errors import UserError
from src.probes.fitter import ProbeFitter
from src.probes.grid import pick
from src.probes.settings import Rows
from tests.helpers.probes import fit, make, settings


def test_ties_choose_the_stronger_penalty_and_edges_are_reported():
    assert pick([0.5 + 5e-10, 0.5, 0.6]) == 0
    from sklearn.linear_model import LogisticRegression as Peer

    assert ProbeFitter(Peer(), settings(C=[0.1, 10.0, 1.0]), make(), 2).values == [0.1, 1.0, 10.0]
    noise = Rows(make().x, np.random.default_rng(0).integers(2, size=300))
    assert fit(noise, {"test": make(seed=1)}).choice.at_edge in ("strongest", None)


def test_infinite_losses_are_ignored_and_refused_if_all_are_infinite():
    assert pick([np.nan, np.inf, 0.5, 0.5]) == 2
    with pytest.raises(UserError, match="NaN or infinite"):
        pick([np.nan, np.inf])
