"""Small problems for the solvers, and their solution by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np


def make(rows: int = 240, width: int = 12, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of correlated scale and noisy linear labels."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, width)) * np.logspace(0, -1.5, width) + 1
    scores = (x - 1) @ generator.standard_normal((width, classes)) * 2 + np.linspace(0, 1, classes)
    return x, (scores + generator.gumbel(size=scores.shape)).argmax(axis=1).astype(np.int64)


def reference(x: np.ndarray, y: np.ndarray, alpha: float) -> Any:
    """Return scikit-learn's solution."""
    from sklearn.linear_model import LogisticRegression as Peer

    solver = "newton-cholesky" if len(np.unique(y)) == 2 else "lbfgs"
    return Peer(C=1 / (alpha * len(y)), tol=1e-13, max_iter=20000, solver=solver).fit(x, y)


def objective(x: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray, alpha: float) -> float:
    """Return the penalised log-loss in float64."""
    scores = x @ weight.T + bias
    scores = np.concatenate([np.zeros_like(scores), scores], axis=1) if scores.shape[1] == 1 else scores
    top = scores.max(axis=1, keepdims=True)
    loss = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0] - scores[np.arange(len(y)), y]
    return float(loss.mean() + alpha / 2 * np.sum(weight**2))
