"""The suite's probe as estimators of scikit-learn: scaling, choice of the penalty and refit in one `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

from src.data.labels import sorted_labels
from src.errors import UserError
from src.probes.decisions import are_logits, probabilities
from src.probes.fitted import FittedProbe, Prediction
from src.probes.grid_fit import unscaled
from src.probes.outcome import GridChoice
from src.probes.progress import progress_bar
from src.probes.protocols.base import Protocol
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.probes.solvers.linear import Array
from src.runtime.threads import limit_threads

FLOATS = [np.float32, np.float64]


class UnfitRows(UserError, ValueError):
    """Report rows that no probe can be fitted to; scikit-learn expects a ValueError."""


class Probe(BaseEstimator):
    """Probe that scales features, chooses a value of its grid and refits it: the base of both kinds.

    Parameters
    ----------
    estimator : estimator
        One of `src.probes.solvers.estimators`, or of scikit-learn.
    grid : dict
        One parameter of the estimator, and the values to try.
    features : str, default "standardise"
        ``standardise``, ``none`` or ``l2``, fitted on the rows of `fit`.
    selection : str, default "carve"
        ``carve`` chooses the value on a part of the rows, ``folds`` in cross-validation.
    carve : float, default 0.2
    folds : int, default 10
    seed : int, default 0
        Of the carved part and the folds.
    progress : bool, default False
        Whether to show a progress bar.
    extend_grid : bool, default False
        Whether the grid goes on until its best value is inside.
    metric : str, optional
        Metric for which two classes get a threshold, such as ``f1`` or ``mcc``.

    Attributes
    ----------
    best_params_ : dict
        The chosen value by the name of its parameter.
    alpha_ : float
        The chosen value; of the suite's own estimators, a penalty per row.
    grid_ : list of dict
        Each value of the grid with its ``loss`` on the rows held out.
    converged_, separable_ : bool or None
        As ``chosen`` in a record.
    threshold_ : float or None
        As ``chosen.threshold`` in a record.
    coef_, intercept_ : arrays of (outputs, width) and (outputs,)
        Of features as given (of length 1 with ``l2``), the standardisation included; only where the
        estimator is linear.
    mean_, scale_ : arrays of (width,), or None
        The standardisation.
    """

    fitted_: FittedProbe
    n_features_in_: int

    def __init__(
        self,
        estimator: Any,
        grid: Mapping[str, list[float]],
        features: str = "standardise",
        selection: str = "carve",
        carve: float = 0.2,
        folds: int = 10,
        seed: int = 0,
        progress: bool = False,
        extend_grid: bool = False,
        metric: str | None = None,
    ) -> None:
        self.estimator, self.grid, self.features = estimator, grid, features
        self.selection, self.carve, self.folds, self.seed, self.progress = selection, carve, folds, seed, progress
        self.extend_grid, self.metric = extend_grid, metric

    def _fit(self, x: Array, y: Array, classes: int, groups: Any, duplicates: Any) -> None:
        settings = ProbeSettings(
            self.grid, "probe", self.features, self.carve, self.selection, self.folds, seed=self.seed,
            extend_grid=self.extend_grid, metric=self.metric,
        )  # fmt: skip
        together = groups if groups is not None else duplicates if duplicates is not None else _equal_rows(x)
        data = ProbeData(Rows(x, y), {}, classes, groups=np.asarray(together), groups_span_classes=groups is not None)
        try:
            data.check()
            data.splitter(settings).check(self.selection)
            with limit_threads(), progress_bar("probe", self.progress) as progress:
                outcome = Protocol().fit(self.estimator, settings, data, progress)
        except UserError as error:
            raise UnfitRows(str(error)) from error
        assert outcome.fitted is not None and outcome.choice is not None
        self._keep(outcome.fitted, outcome.choice)

    def _keep(self, fitted: FittedProbe, choice: GridChoice) -> None:
        self.fitted_ = fitted
        self.best_params_, self.alpha_ = {choice.parameter: choice.value}, choice.value
        self.grid_, self.converged_, self.separable_ = choice.grid, choice.converged, choice.separable
        self.threshold_ = choice.threshold
        self.mean_, self.scale_ = fitted.mean, fitted.scale
        if fitted.weight is not None and fitted.bias is not None:
            self.coef_, self.intercept_ = unscaled(fitted.weight, fitted.bias, fitted.mean, fitted.scale)

    def _predict(self, X: Any) -> Prediction:
        check_is_fitted(self)
        x = check_array(X, dtype=FLOATS)
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features "
                "as input"
            )
        return self.fitted_.predict(x)


def _has_probabilities(probe: Probe) -> bool:
    """Return whether the softmax of the decision values is the estimator's probabilities."""
    return are_logits(type(probe.estimator).__name__)


class ProbeClassifier(ClassifierMixin, Probe):
    """Linear probe for classes, fitted as a run fits it.

    Parameters
    ----------
    estimator, grid, features, selection, carve, folds, seed, progress, extend_grid, metric
        See `Probe`; as in conf/probe/.

    Attributes
    ----------
    classes_ : array of (classes,)
    best_params_, alpha_, grid_, converged_, separable_, threshold_, coef_, intercept_, mean_, scale_
        See `Probe`.
    """

    classes_: Array

    def fit(self, X: Any, y: Any, groups: Any = None, duplicates: Any = None) -> ProbeClassifier:
        """Choose the value, refit it on all rows, and return the estimator.

        Parameters
        ----------
        X : array of (rows, width), float32 or float64
        y : array of (rows,)
        groups : array of (rows,), optional
            Rows with equal entries fall on one side of every division.
        duplicates : array of (rows,), optional
            The same for rows of one text. Default: equal rows of `X`.

        Raises
        ------
        UnfitRows
            A `UserError` and a ValueError: fewer than two classes, or too few rows of one.
        ValueError
            X or y is no array of finite numbers of that shape.
        """
        x, y = check_X_y(X, y, dtype=FLOATS)
        check_classification_targets(y)
        found = np.unique(y)
        if all(isinstance(name, str) for name in found.tolist()):
            found = np.array(sorted_labels(set(found.tolist())), dtype=found.dtype)  # as a run orders its classes
        self.classes_ = found
        numbers = {name: number for number, name in enumerate(self.classes_.tolist())}
        self.n_features_in_ = x.shape[1]
        ids = np.array([numbers[name] for name in y.tolist()], dtype=np.int64)
        self._fit(x, ids, len(self.classes_), groups, duplicates)
        return self

    def predict(self, X: Any) -> Array:
        """Return the class of each row, (rows,)."""
        numbers = self._predict(X).values
        return np.asarray(self.classes_[numbers])

    def decision_function(self, X: Any) -> Array:
        """Return decision values float32, (rows,) for two classes, else (rows, classes)."""
        return self._predict(X).decisions

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Array:
        """Return probabilities (rows, classes), in the order of `classes_`."""
        return probabilities(self._predict(X).decisions)


class ProbeRegressor(RegressorMixin, Probe):
    """Linear probe for scores, fitted as a run fits it.

    Parameters
    ----------
    estimator, grid, features, selection, carve, folds, seed, progress, extend_grid, metric
        See `Probe`; as in conf/probe/.

    Attributes
    ----------
    best_params_, alpha_, grid_, converged_, separable_, threshold_, coef_, intercept_, mean_, scale_
        See `Probe`.
    """

    def fit(self, X: Any, y: Any, groups: Any = None, duplicates: Any = None) -> ProbeRegressor:
        """Choose the value, refit it on all rows, and return the estimator; see `ProbeClassifier.fit`."""
        x, y = check_X_y(X, y, dtype=FLOATS, y_numeric=True)
        self.n_features_in_ = x.shape[1]
        self._fit(x, y.astype(np.float64), 0, groups, duplicates)
        return self

    def predict(self, X: Any) -> Array:
        """Return the score of each row, (rows,) float64."""
        return self._predict(X).values


def _equal_rows(x: Array) -> Array:
    """Return a number for each row that equal rows share, (rows,) int64."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in np.ascontiguousarray(x)])
