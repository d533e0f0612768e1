"""The suite in Python: pooled features, a fitted probe, a comparison of poolings.

Built on the pipeline and the store of the commands, whose numbers it gives. Hydra is not imported.

    from src import api

    vectors = api.features("bert-books", texts, pooling="cls")
    estimator = api.probe(vectors, labels, texts=texts)
    table = api.compare("bert-books", texts, labels, poolings=["cls", "pooler", "mean"])

A model is the name of an option (``bert-books``), a folder, or a hub id (``ORG/NAME``). Bad input raises
`UserError`, whose message is one to three lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from src.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from src.pipeline.mteb_encoder import MtebEncoder
    from src.probes.sklearn_probe import ProbeClassifier, ProbeRegressor
    from src.sweeps.table import ComparisonTable

__all__ = ["UserError", "compare", "features", "mteb_model", "probe"]

Pooling = str | Mapping[str, Any]  # a name, or the keys of the group `pooling`
NAME = "texts"  # of the split whose features are wanted, in messages and progress bars


def features(
    model: str | Path,
    texts: Sequence[str],
    *,
    pooling: Pooling = "mean",
    layer: int = -1,
    pairs: Sequence[str] | None = None,
    pairing: str | None = None,
    max_length: int | None = None,
    revision: str | None = None,
    quiet: bool = False,
    **runtime: Any,
) -> np.ndarray:
    """Return the pooled features of texts, from the store or encoded, as ``src.extract`` writes them.

    Parameters
    ----------
    model : str or Path
    texts : sequence of str, (rows,)
    pooling : str, default "mean"
        The name of a pooling, or a mapping of the keys of its group, such as
        ``{"name": "concat", "of": ["cls", "mean"]}``.
    layer : int, default -1
        0 (embeddings) to L, or -1 (last) to -(L+1).
    pairs : sequence of str, (rows,), optional
        The second text of each row.
    pairing : str, default "joint"
        Of rows of two texts: ``joint`` reads both as one input, ``separate`` gives
        ``[u; v; |u - v|; u * v]``.
    max_length : int, optional
        Word pieces of an input, special tokens included; default: the checkpoint's limit.
    revision : str, optional
        Branch, tag or commit of a hub id.
    quiet : bool, default False
        Show no progress bar.
    **runtime
        Further keys of the group `runtime`: ``device``, ``dtype``, ``threads``, ``token_budget``,
        ``cache_dir``, ``also_layers``.

    Returns
    -------
    float32 array of shape (rows, width)
        The width of pairs read apart is four times that of the model.

    Raises
    ------
    UserError
        A text is no str, or the model, the pooling, the layer or a key cannot be used.
    """
    from src.cli.composing import compose_config
    from src.data.in_memory import memory_table
    from src.pipeline.extraction import text_features

    table = memory_table(texts, pairs=pairs)
    config = compose_config(
        model, pooling, encoder={"max_length": max_length, "revision": revision},
        dataset={"label": None, "text_pair": None if pairs is None else "text_pair"},
        runtime={"progress": not quiet, **runtime}, layer=layer, pairing=pairing,
    )  # fmt: skip
    return text_features(config, table, NAME)


def probe(
    features: np.ndarray,
    labels: Sequence[Any] | np.ndarray,
    *,
    texts: Sequence[str] | None = None,
    pairs: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    task: str | None = None,
    estimator: Any = None,
    grid: Mapping[str, Sequence[float]] | None = None,
    scaling: str = "standardise",
    selection: str = "carve",
    folds: int = 10,
    metric: str | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> ProbeClassifier | ProbeRegressor:
    """Return a fitted probe: a scikit-learn estimator that scales features and has chosen its penalty.

    With `texts` it is the probe that a run fits on these rows.

    Parameters
    ----------
    features : float32 or float64 array of shape (rows, width)
    labels : sequence of (rows,)
        Classes of any type that sorts, or scores.
    texts, pairs : sequences of str, (rows,), optional
        The texts of the rows. Equal ones stay on one side when rows are held out to choose the
        penalty; without `texts`, rows of equal features do.
    groups : sequence of (rows,), optional
        Rows with equal entries stay on one side, too.
    task : str, optional
        ``classification`` or ``regression``; default: regression if all labels are numbers and one
        is no whole number.
    estimator : estimator, optional
        Of scikit-learn; default: the suite's logistic or ridge regression.
    grid : dict, optional
        One parameter of the estimator, and the values to try; default: the suite's.
    scaling : str, default "standardise"
        ``standardise``, ``none`` or ``l2``, by the statistics of these rows.
    selection : str, default "carve"
        ``carve`` chooses on 20 % of the rows, ``folds`` in cross-validation; all rows are refitted.
    folds : int, default 10
    metric : str, optional
        Headline metric: for ``f1``, ``macro_f1`` and ``mcc`` two classes get a threshold, as in a run.
    seed : int, default 0
        Of the carved part and the folds.
    quiet : bool, default False
        Show no progress bar.

    Returns
    -------
    ProbeClassifier or ProbeRegressor
        Fitted. ``best_params_`` holds the chosen penalty, ``grid_`` the loss of each; `predict`,
        `score` and, for classes, `predict_proba` take features that are not scaled.

    Raises
    ------
    UserError
        The arrays have different numbers of rows, or no probe can be fitted to them.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> fitted = probe(x, np.where(x[:, 0] > 0, "yes", "no"), quiet=True)
    >>> fitted.predict([[3, 0, 0], [-3, 0, 0]]), sorted(fitted.best_params_)
    (array(['yes', 'no'], dtype='<U3'), ['alpha'])
    """
    import numpy as np

    from src.cli.composing import compose_config
    from src.data.in_memory import kept_together, looks_like_scores
    from src.probes.estimators import grid_values, instantiate
    from src.probes.library_errors import single_line_errors
    from src.probes.sklearn_probe import ProbeClassifier, ProbeRegressor

    found = np.asarray(labels)
    task = task or ("regression" if looks_like_scores(found.tolist()) else "classification")
    settings = compose_config("bert-books", "mean", dataset={"task": task}, probe={"features": scaling}).probe
    if estimator is not None and grid is None:
        raise UserError(f"estimator={type(estimator).__name__} needs grid={{parameter: [values]}} beside it.")
    kind = ProbeClassifier if task == "classification" else ProbeRegressor
    fitted = kind(
        instantiate(settings) if estimator is None else estimator,
        grid_values(settings.grid if grid is None else grid),
        scaling, selection, settings.carve, folds, seed, not quiet, settings.extend_grid and grid is None, metric,
    )  # fmt: skip
    together = kept_together(len(found), texts, pairs, groups)
    with single_line_errors(
        "these rows", "Give finite features (rows, width) and a label for each row.", "are refused"
    ):
        return fitted.fit(features, found, **together)


def compare(
    model: str | Path,
    texts: Sequence[str],
    labels: Sequence[Any] | np.ndarray,
    *,
    poolings: Sequence[Pooling] = ("cls", "pooler", "mean"),
    layers: Sequence[int] = (-1,),
    pairs: Sequence[str] | None = None,
    test: Mapping[str, Sequence[Any]] | None = None,
    test_fraction: float | None = None,
    folds: int | None = None,
    groups: Sequence[Any] | None = None,
    task: str | None = None,
    metric: str | None = None,
    pairing: str | None = None,
    probe: str | None = None,
    probe_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    draws: int = 1,
    max_length: int | None = None,
    revision: str | None = None,
    quiet: bool = False,
    **runtime: Any,
) -> ComparisonTable:
    """Return a table of poolings and layers on texts and labels, with paired tests, as a sweep ends with.

    All forward passes share one pass a split. Runs that the store knows are not done again.

    Parameters
    ----------
    model, pairs, pairing, max_length, revision, quiet, **runtime
        As for `features`. ``probe="cosine"`` always reads pairs apart.
    texts : sequence of str, (rows,)
    labels : sequence of (rows,)
    poolings : sequence
        As ``pooling`` of `features`.
    layers : sequence of int
        Each layer is a group, within which poolings are tested.
    test : mapping, optional
        The rows to score on: ``texts``, ``labels`` and perhaps ``pairs``.
    test_fraction : float, default 0.2
        Share of the rows that are scored where `test` is not given.
    folds : int, optional
        Score all rows in nested cross-validation instead.
    groups : sequence of (rows,), optional
        Rows with equal entries stay on one side of every division.
    task, seed
        As for `probe`.
    metric : str, optional
        The headline metric; default: accuracy, or Pearson's correlation.
    probe : str, optional
        An option of the group `probe`; default: by the task. ``cosine`` fits nothing and scores all rows.
    probe_options : mapping, optional
        Further keys of the group `probe`, such as ``resamples`` or ``features``.
    draws : int, default 1

    Returns
    -------
    ComparisonTable
        Prints as a table, also in a notebook; `rows`, `to_pandas()`, `results` (the records).

    Raises
    ------
    UserError
        As for `features` and `probe`; no forward pass has been made where that can be known before.
    """
    from src.cli.composing import compose_config
    from src.data.in_memory import entries, looks_like_scores, memory_table, scored_dataset
    from src.pipeline.prepare import prepare
    from src.pipeline.run import run_or_copy
    from src.pipeline.threads import resolved_threads
    from src.probes.protocols.base import get_protocol
    from src.sweeps.comparison import compare_records
    from src.sweeps.table import ComparisonTable

    table = memory_table(texts, pairs=pairs, labels=labels, groups=groups)
    task = task or ("regression" if looks_like_scores(labels) else "classification")
    dataset: dict[str, Any] = {"task": task, "metric": metric, "text_pair": None if pairs is None else "text_pair"}
    if folds is not None:
        dataset |= {"selection": "nested", "folds": folds}
    configs = [
        compose_config(
            model, pooling, encoder={"max_length": max_length, "revision": revision}, dataset=dataset,
            probe={**({"name": probe} if probe else {}), **(probe_options or {})},
            runtime={"progress": not quiet, "also_layers": list(dict.fromkeys(entries("layers", layers))), **runtime},
            layer=layer, pairing=pairing, seed=seed, draws=draws,
        )
        for layer in entries("layers", layers) for pooling in entries("poolings", poolings)
    ]  # fmt: skip
    if not configs:
        raise UserError("poolings and layers name nothing to compare. Give one of each or more.")
    fitted = get_protocol(configs[0].probe).FITTED
    data = scored_dataset(configs[0].dataset, table, fitted, test=test, test_fraction=test_fraction, folds=folds)
    with resolved_threads(configs[0]) as resolved, TemporaryDirectory() as folder:
        threads = resolved.runtime.threads
        configs = [replace(each, runtime=replace(each.runtime, threads=threads)) for each in configs]
        for config in configs:
            prepare(config, data)  # all are checked before the first forward pass
        folders = [Path(folder, str(number)) for number in range(len(configs))]
        for config, place in zip(configs, folders, strict=True):
            run_or_copy(prepare(config, data), place)
        return ComparisonTable(compare_records(folders))


def mteb_model(
    model: str | Path,
    *,
    pooling: Pooling = "mean",
    layer: int = -1,
    normalise: bool = False,
    max_length: int | None = None,
    revision: str | None = None,
    quiet: bool = False,
    **runtime: Any,
) -> MtebEncoder:
    """Return a model for `mteb.evaluate`, of any pooling and layer of a checkpoint.

    Needs the extra ``mteb``. Features are read from the store, and kept there.

    Parameters
    ----------
    model, pooling, layer, max_length, revision, quiet, **runtime
        As for `features`.
    normalise : bool, default False
        Scale vectors to length 1, as the Normalize module of a sentence-transformers folder does.

    Raises
    ------
    UserError
        mteb is not installed; else as for `features`.
    """
    from src.cli.composing import compose_config

    config = compose_config(
        model, pooling, encoder={"max_length": max_length, "revision": revision},
        dataset={"label": None, "text_pair": None}, runtime={"progress": not quiet, **runtime}, layer=layer,
    )  # fmt: skip
    try:
        from src.pipeline.mteb_encoder import MtebEncoder
    except ModuleNotFoundError as error:
        if error.name != "mteb":
            raise
        raise UserError("mteb is not installed. pip install 'bert-pooling-probes[mteb]' adds it.") from error
    return MtebEncoder(config, normalise)
