"""SentEval's rules for frozen sentence features (Conneau and Kiela, 2018, SentEval, LREC).

Read from facebookresearch/SentEval at 5d6dc117d1ac30357ddaeb7347fb5684e9b87015; each rule below names its file there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from src.config.limits import MAX_FOLDS, check_grid
from src.config.schema import Config, ProbeConfig
from src.data.dataset import Dataset, Split
from src.data.splits import RowSplitter
from src.errors import UserError
from src.evaluation.estimates import Estimate
from src.probes.fitting import Bench, Fit, Rows, decided
from src.probes.probe import Criterion, Outcome, Setup, own
from src.probes.protocols.base import Protocol, point, protocol
from src.probes.solvers.linear import Array


@protocol("senteval")
@dataclass(frozen=True)
class SentEval(Protocol):
    """SentEval's folds, grid and choice.

    Of its two classifiers this is scikit-learn's, `usepytorch=False` in senteval/tools/validation.py: the same rows give the same numbers,
    while the other is Adam stopped early, which depends on a GPU's order of sums. The features are not standardised (nowhere in
    senteval/), and what scikit-learn's default of 100 iterations leaves unfinished stays so, and is recorded.

    Which rule a task gets follows from its splits, as the head of senteval/tools/validation.py has it: rows that are scored in folds of
    themselves get InnerKFoldClassifier; train, development and test get SplitClassifier; train and test get KFoldClassifier.

    Attributes
    ----------
    seed : of the folds and of the classifier (1111 in senteval/tools/validation.py and senteval/engine.py)
    folds : `kfold`, 10 in its README's configuration "comparable to the literature"
    folds_grid : the grid of KFoldClassifier, which is another one than that of the other two; unset: the probe's own
    """

    MOST: ClassVar[Mapping[str, int]] = {"folds": MAX_FOLDS}

    seed: int = 1111
    folds: int = 10
    folds_grid: dict[str, list[float]] | None = None

    def pairing(self, asked: str, has_pairs: bool) -> str:
        """Return ``separate`` for pairs of texts (senteval/mrpc.py, senteval/sick.py)."""
        return "separate" if has_pairs else asked

    def validate(self, grid: Mapping[str, Sequence[float]]) -> None:
        """Check the number of folds and the grid of KFoldClassifier; raise a UserError."""
        if self.folds < 2:
            raise UserError(f"probe.protocol.folds={self.folds}: at least 2 is needed.")
        if self.folds_grid is not None:
            check_grid("probe.protocol.folds_grid", self.folds_grid)

    def check(self, config: Config, read: Dataset) -> None:
        if config.draws > 1:
            raise UserError(
                f"draws={config.draws}: SentEval fits on train as it stands. Set draws=1, or leave probe out."
            )
        super().check(config, read)
        counts = np.bincount(read.train.label)
        if read.selection != "development" and counts.min() < self.folds:
            raise UserError(
                f"{read.name}: class '{read.classes[int(counts.argmin())]}' has {counts.min()} training rows, fewer than SentEval's "
                f"{self.folds} folds. Set probe.protocol.folds lower, or leave probe out."
            )

    def pair_features(self, sides: list[Array]) -> Array:
        """``[|u - v|; u * v]``, without u and v (senteval/mrpc.py, senteval/sick.py): (rows, 2 width)."""
        if len(sides) == 1:
            return sides[0]
        u, v = sides
        return np.concatenate([np.abs(u - v), u * v], axis=1)

    def order(self, split: Split) -> Array:
        """By number of words, then by label (the `sorted` of senteval/binary.py, mrpc.py, trec.py): the folds are dealt in this order."""
        sides = [split.text] if split.text_pair is None else [split.text, split.text_pair]
        words = [np.array([len(text.split()) for text in side.to_pylist()]) for side in sides]
        return np.lexsort((split.label, *reversed(words)))

    def fit(self, estimator: Any, config: ProbeConfig, train: Rows, tests: dict[str, Rows], setup: Setup) -> Outcome:
        order = np.arange(len(train.y)) if setup.order is None else setup.order
        if setup.selection not in ("nested", "development"):
            setup = replace(setup, selection="folds")
            config = replace(config, grid=self.folds_grid or config.grid)
        rows = Rows(train.x[order], train.y[order])
        division = Stratified(rows.y, self.seed, folds=self.folds)
        outcome = own(estimator, config, rows, tests, setup, division=division, criterion=Accuracy())
        return outcome if setup.selection != "nested" else _as_they_came(outcome, order)

    def score(
        self,
        name: str,
        labels: Array,
        draws: Sequence[Array],
        fold: Array | None,
        evaluate: Callable[[Array], Estimate],
    ) -> dict[str, Any]:
        """In folds the value is the mean of the folds' own (senteval/tools/validation.py); the interval is that of all rows together."""
        found = super().score(name, labels, draws, fold, evaluate)
        if fold is None:
            return found
        value = float(
            np.mean([point(name, labels[fold == number], draws[0][fold == number]) for number in np.unique(fold)])
        )
        ends = {} if found["low"] is None else {"low": min(value, found["low"]), "high": max(value, found["high"])}
        return {**found, **ends, "value": value, "method": f"mean of the folds; {found['method']}"}


@dataclass(frozen=True)
class Stratified(RowSplitter):
    """Folds as scikit-learn's StratifiedKFold shuffles them: outer, inner and on train with one seed (senteval/tools/validation.py).

    Equal texts may fall on both sides, as they do there.
    """

    def fold_ids(self) -> Array:
        from sklearn.model_selection import StratifiedKFold

        fold = np.empty(len(self.y), dtype=np.int64)
        parts = StratifiedKFold(self.folds, shuffle=True, random_state=self.seed).split(
            np.empty((len(self.y), 0)), self.y
        )
        for number, (_, rows) in enumerate(parts):
            fold[rows] = number
        return fold


class Accuracy(Criterion):
    """The best accuracy is chosen: the mean of the folds', in percent with two decimals, the first of equals.

    So in senteval/tools/validation.py. As a loss, it is the share of held-out rows that are wrong.
    """

    def losses(self, bench: Bench, fit: Fit, rows: Array | Rows) -> Array:
        if isinstance(rows, Rows):
            return bench.fitted(fit, "").predict(rows.x)[0] != rows.y
        return decided(bench.scores(fit, rows), bench.classes) != bench.y[rows]

    def mean(self, folds: Sequence[Array]) -> float:
        return 1 - float(np.round(100 * np.mean([1 - losses.mean() for losses in folds]), 2)) / 100


def _as_they_came(outcome: Outcome, order: Array) -> Outcome:
    """Predictions of sorted rows in the order of their file."""
    place = np.argsort(order)
    predictions, decisions = ({"test": values["test"][place]} for values in (outcome.predictions, outcome.decisions))
    return replace(
        outcome,
        predictions=predictions,
        decisions=decisions,
        fold=outcome.fold[place],
        draws=[predictions],
        draw_decisions=[decisions],
    )
