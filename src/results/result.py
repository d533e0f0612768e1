"""The record of one run: identity, scores, timing, provenance; to and from JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from src.errors import UserError, flatten
from src.runtime.clock import PHASES
from src.storage.atomic import json_text, replace_files
from src.storage.files import Unreadable, checked, open_regular, parse_json, read_json
from src.storage.keys import plain_values

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
RECORD, PREDICTIONS, PROBE = "result.json", "predictions.safetensors", "probe.safetensors"
ONLY_WHERE_ANY = ("unknown", "empty", "lowered")  # counts that a run's table leaves out at zero
PREDICTION_FIELDS = ("row", "fold", "label", "prediction", "decision")
Arrays = Mapping[str, "np.ndarray"]


class SchemaError(UserError):
    """A record that another version of this project wrote."""


@dataclass
class Result:
    """One run, as ``result.json`` holds it.

    Attributes
    ----------
    key : str
        Content key of all that decides the numbers.
    model, dataset, pooling, probe : str
        Option names.
    config : dict
        The rest of the identity.
    score : dict
        ``{metric, value, low, high}``: headline metric and its 95 % interval, as a fraction.
    metrics : dict
        ``{name: {value, low, high, reason}}``; an undefined value is None with its reason, never NaN.
    baseline : dict
        Trivial scores on the headline metric: ``{name: value}`` or ``{name: {value, low, high}}``.
    chosen : dict
        ``{parameter, value, grid: [{value, loss, converged}], converged, separable}``. With ``probe=mdl`` also ``online_code``: ``bits``,
        ``uniform_bits``, ``compression`` (their ratio), ``uniform_rows`` (sent by the uniform code) and ``blocks``, each ``{rows (fitted
        on), the strength chosen, coded (rows sent by it), bits, converged}``; and ``curve``: ``[{rows, value, low, high}]``, the headline
        metric of the probe fitted on so many rows.
    timing : dict
        Seconds by phase, ``cache``, and after a hit the timing of the pass that made the features.
    """

    schema: int
    key: str
    model: str
    dataset: str
    pooling: str
    probe: str
    layer: int
    pairing: str
    seed: int
    draws: int
    config: dict[str, Any]
    score: dict[str, Any]
    metrics: dict[str, Any]
    baseline: dict[str, Any]
    counts: dict[str, Any]
    chosen: dict[str, Any]
    pooler: dict[str, Any]
    timing: dict[str, Any]
    provenance: dict[str, Any]

    FIELDS: ClassVar[tuple[str, ...]]

    def to_json(self) -> str:
        """Strict JSON with sorted keys. NaN, infinities and values that JSON lacks are a ValueError or TypeError naming the field."""
        values = {name: getattr(self, name) for name in self.FIELDS}
        return json_text(plain_values(values), indent=2)

    @classmethod
    def from_json(cls, text: str, *, source: str = RECORD) -> Result:
        """The record in `text`; a UserError that names `source` where it is damaged or of another schema."""
        try:
            values = parse_json(text)
        except Unreadable as error:
            raise UserError(f"{source} is damaged: {flatten(error)}. Remove it and run again.") from error
        return cls.from_values(values, source=source)

    @classmethod
    def from_values(cls, values: Any, *, source: str = RECORD) -> Result:
        """The record whose JSON holds `values`; a UserError that names `source` where it is damaged or of another schema."""
        if not isinstance(values, dict):
            raise UserError(f"{source} is no record: it holds a {type(values).__name__}. Remove it and run again.")
        version = values.get("schema", SCHEMA)
        if type(version) is int and version != SCHEMA:
            raise SchemaError(
                f"{source} has schema {str(version)[:20]}, this version reads schema {SCHEMA}. Make the record again."
            )
        if missing := sorted(set(cls.FIELDS) - set(values)):
            raise UserError(f"{source} is damaged: no field {', '.join(missing)}. Remove it and run again.")
        if extra := sorted(set(values) - set(cls.FIELDS)):
            raise UserError(f"{source}: unknown field {', '.join(extra)[:200]}. Known: {', '.join(cls.FIELDS)}.")
        try:
            _check_inside(checked(values, _TYPES))
        except Unreadable as error:
            raise UserError(f"{source} is damaged: {flatten(error)}. Remove it and run again.") from error
        return cls(**values)

    @classmethod
    def read(cls, path: str | Path) -> Result:
        """The record in a file, or in a run's folder."""
        path = Path(path)
        path = path / RECORD if path.is_dir() else path
        try:
            values = read_json(path)
        except OSError as error:
            raise UserError(f"cannot read the record {path}: {_reason(error)}.") from error
        except Unreadable as error:
            raise UserError(f"{path} is damaged: {flatten(error)}. Remove it and run again.") from error
        return cls.from_values(values, source=str(path))

    def write(
        self, folder: str | Path, predictions: Arrays, probe: Arrays, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write predictions, probe and, last, the record, so that a record which exists has its companions.

        The folder is made when it is missing; a record already there is replaced, and on a full disk it stays as it was. The arrays are
        those of `pack`.

        Raises
        ------
        UserError
            The folder cannot be written.
        """
        put(Path(folder), self.pack(predictions, probe, metadata))

    def pack(self, predictions: Arrays, probe: Arrays, metadata: Mapping[str, str] | None = None) -> dict[str, bytes]:
        """The files of a record by name, the record itself last.

        Parameters
        ----------
        predictions : mapping of arrays
            ``row`` (rows,) uint64 digests; ``fold`` (rows,), -1 without folds; ``label`` (rows,); ``prediction`` (rows,) or
            (draws, rows); ``decision`` with the rows in the same place. Roles other than test are prefixed:
            ``mismatched.prediction``.
        probe : mapping of arrays
            The fitted probe with its standardisation.
        metadata : mapping of str to str, optional
            Goes into both array files beside the record's key.
        """
        _check_predictions(predictions)
        # One entry: the library writes several in an order that changes from run to run.
        notes = {"notes": json.dumps({**(metadata or {}), "key": self.key}, sort_keys=True)}
        return {PREDICTIONS: _pack(predictions, notes), PROBE: _pack(probe, notes), RECORD: self.to_json().encode()}


Result.FIELDS = tuple(item.name for item in dataclasses.fields(Result))
_TYPES = {
    name: typing.get_origin(kind) or kind
    for name, kind in typing.get_type_hints(Result).items()
    if name in Result.FIELDS
}


NOTHING = type(None)
ENDS: dict[str, Any] = {"low": float, "high": float, "reason": str, "converged": bool}
CHOSEN: dict[str, Any] = {
    "parameter": str, "value": float, "grid": list, "at_edge": str, "online_code": dict,
    "converged": bool, "separable": bool, "reusable": bool,
}  # fmt: skip
LARGEST = 1e100  # of a measured number, so that its square is finite
MOST_ROWS = 1 << 53


def _check_inside(values: Mapping[str, Any]) -> None:
    """The fields of a record's objects that tables, tests and figures read; Unreadable where one is of another type or size."""
    _check("score", values["score"], {"metric": str, "value": (float, NOTHING)}, ENDS)
    for field in ("metrics", "baseline"):
        for name, value in values[field].items():
            _check(
                f"{field}.{name}", value if isinstance(value, dict) else {"value": value}, {}, {"value": float} | ENDS
            )
    counts = values["counts"]
    for name, count in counts.items():
        if count is not None and not (type(count) is int and 0 <= count < MOST_ROWS):
            raise Unreadable(f"counts: '{name}' is no count")
    if (counts.get("classes") or 0) > max(2, counts.get("train") or 0):
        raise Unreadable("counts: more classes than rows of train")
    for name, least in (("draws", 1), ("seed", 0), ("layer", -MOST_ROWS)):
        if not least <= values[name] < MOST_ROWS:
            raise Unreadable(f"{name} is out of its range")
    chosen, pooler, timing, config = (values[name] for name in ("chosen", "pooler", "timing", "config"))
    _check("chosen", chosen, {}, CHOSEN)
    for row in chosen.get("grid") or []:
        _check("chosen.grid", row, {}, {"value": float, "loss": float, "converged": bool})
    if chosen.get("online_code") is not None:
        _check(
            "chosen.online_code",
            chosen["online_code"],
            dict.fromkeys(("bits", "uniform_bits", "compression"), float),
            {},
        )
    _check("pooler", pooler, {}, {"status": str, "evidence": dict})
    _check("pooler.evidence", pooler.get("evidence") or {}, {}, {"next_sentence_accuracy": float})
    seconds = {name: float for name in timing if name not in ("cache", "passes")}
    _check("timing", timing, {}, {"cache": str, "passes": list} | seconds)
    for made in timing.get("passes") or []:
        _check("timing.passes", made, {}, dict.fromkeys(PHASES, float))
    _check("config", config, {}, dict.fromkeys(("model", "dataset", "probe", "runtime"), dict))
    _check("config.probe", config.get("probe") or {}, {}, {"grid": dict})


def _check(where: str, value: Any, required: Mapping[str, Any], optional: Mapping[str, Any]) -> None:
    """An object's fields as `checked` does, and its numbers not too large to be reckoned with."""
    try:
        fields = checked(value, required, optional)
        for name in (*required, *optional):
            if type(fields.get(name)) in (int, float) and not abs(fields[name]) <= LARGEST:
                raise Unreadable(f"'{name}' is too large")
    except Unreadable as error:
        raise Unreadable(f"{where}: {error}") from None


def put(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write a record's files into a folder, which is made when it is missing; UserError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_files(folder, contents)
    except OSError as error:
        raise UserError(
            f"cannot write the record into {folder}: {_reason(error)}. Set hydra.run.dir to another folder."
        ) from error


def read_predictions(path: str | Path, result: Result | None = None) -> dict[str, np.ndarray]:
    """The arrays of a predictions file, given as the file or its run's folder; a UserError where it is missing or damaged.

    With `result`, their record, classes that it does not count are damage too.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    path = path / PREDICTIONS if path.is_dir() else path
    try:
        with open_regular(path) as file:
            arrays = load(file.read())
        _check_predictions(arrays)
        _check_values(arrays, int(result.counts.get("classes") or 0) if result else 0)
    except (
        OSError,
        SafetensorError,
        ValueError,
        TypeError,
        KeyError,
    ) as error:  # the library's own of a type that numpy lacks
        raise UserError(f"cannot read the predictions {path}: {_reason(error)}.") from error
    return arrays


def table(result: Result, *, width: int = 80, terminal: bool = False) -> str:
    """What a run prints: its score with interval, the trivial baselines, the grid's choice, seconds by phase, warnings.

    Parameters
    ----------
    width : int
        Columns; longer lines are folded.
    terminal : bool
        Bold and colours by ANSI codes.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, no_color=not terminal, highlight=False, emoji=False
    )
    head = (
        f"{result.dataset}  {result.model}  {result.pooling}  layer {result.layer}  {result.probe}  seed {result.seed}"
    )
    console.print(Text(head, style="bold"))
    rows = Table.grid(padding=(0, 2), expand=False)
    for name, text in _lines(result):
        rows.add_row(Text(name), Text(text, style="bold" if name == result.score["metric"] else ""))
    console.print(rows)
    for caution in cautions(result):
        console.print(Text(f"warning: {caution}", style="yellow"))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"  # type: ignore[attr-defined]


def summary(result: Result) -> str:
    """A run in one line, as a sweep prints it: score with its interval, cache and seconds."""
    score = estimate(result.score["metric"], result.score)
    untrained = " (untrained)" if uses_untrained_pooler(result) else ""
    where = f"{result.dataset}  {result.pooling}{untrained}  layer {result.layer}"
    return f"{where}  {result.score['metric']} {score}  {result.timing['cache']}, {result.timing['total']:.1f} s"


def uses_untrained_pooler(result: Result) -> bool:
    """Whether the run's pooling needs the checkpoint's pooler and that one was never trained."""
    from src.pooling import poolings

    return (
        result.pooler.get("status") == "untrained"
        and result.pooling in poolings
        and poolings[result.pooling].needs_pooler
    )


def is_one_vector(result: Result) -> bool:
    """Whether all texts had one and the same vector, so that the score says nothing of them."""
    return bool(result.counts.get("one_vector"))


def cautions(result: Result) -> list[str]:
    """What a reader of the score has to know, one sentence each."""
    chosen, counts = result.chosen, result.counts
    found = []
    if uses_untrained_pooler(result):
        found.append("the checkpoint's pooler was never trained: this pooling is a random projection of cls.")
    if is_one_vector(result):
        found.append("all texts have one and the same vector: nothing can be read from it.")
    if chosen.get("converged") is False:
        found.append("the probe did not converge.")
    bag = result.baseline.get("bag_of_word_pieces")
    if isinstance(bag, Mapping) and bag.get("converged") is False:
        found.append("the bag of word pieces did not converge: its score is a lower estimate.")
    if chosen.get("reusable") is False:
        found.append("the estimator has no linear coefficients: probe.safetensors cannot predict by itself.")
    if chosen.get("separable") and chosen.get("value") == 0:
        found.append("the training rows are separable and the penalty is zero: the probe has no optimum.")
    if chosen.get("at_edge") and not _perfect(result.score):
        found.append(f"the grid's {chosen['at_edge']} value was chosen; a wider grid may score higher.")
    if result.config.get("probe", {}).get("shuffled_labels"):
        found.append("the labels of the training rows were shuffled: a control, whose score says nothing but chance.")
    if counts.get("test_in_train"):
        found.append(f"{counts['test_in_train']} test rows also occur in train.")
    return found


def _perfect(score: Mapping[str, Any]) -> bool:
    """Whether nothing can score higher."""
    from src.evaluation.metrics import metrics

    if score["metric"] not in metrics:
        return False
    metric = metrics[score["metric"]]
    return bool(score["value"] == (metric.high if metric.higher_is_better else metric.low))


def _lines(result: Result) -> list[tuple[str, str]]:
    """Name and text of each line of the run's table."""
    metric, counts, chosen, timing = result.score["metric"], result.counts, result.chosen, result.timing
    lines = [(metric, estimate(metric, result.score))]
    lines += [(name, estimate(name, value)) for name, value in result.metrics.items() if name != metric]
    lines += [
        (f"baseline {name.replace('_', ' ')}", estimate(metric, value)) for name, value in result.baseline.items()
    ]
    if chosen.get("value") is not None:
        lines.append(
            (
                f"chosen {chosen.get('parameter', 'value')}",
                f"{chosen['value']:g} (of {len(chosen.get('grid') or [])} values)",
            )
        )
    if code := chosen.get("online_code"):
        lines.append(
            (
                "code length",
                f"{code['bits']:,.0f} of {code['uniform_bits']:,.0f} bits, compression {code['compression']:.2f}",
            )
        )
    shown = [
        name
        for name, count in counts.items()
        if count is not None and (count or name not in ONLY_WHERE_ANY) and name != "one_vector"
    ]
    lines.append(("counts", ", ".join(f"{name.replace('_', ' ')} {counts[name]:,}" for name in shown)))
    lines.append(("seconds", ", ".join(f"{name} {value:.1f}" for name, value in phases(timing).items() if value)))
    lines.append(("cache", timing.get("cache", "unknown") + _passes(timing)))
    return lines


def phases(timing: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by phase of a record's timing, those of its own first, the total last."""
    own = {name: float(timing.get(name, 0.0)) for name in PHASES}
    more = {
        name: value
        for name, value in timing.items()
        if isinstance(value, float) and name not in own and name != "total"
    }
    return {**own, **more, "total": float(timing.get("total", 0.0))}


def _passes(timing: Mapping[str, Any]) -> str:
    """After a hit: what the passes took that made the features."""
    if timing.get("cache") != "hit" or not timing.get("passes"):
        return ""
    return f"; the pass that made the features took {sum(made.get(name, 0.0) for made in timing['passes'] for name in PHASES):.1f} s"


def estimate(metric: str, value: Any) -> str:
    """A score with its interval, in percent where the metric is a fraction; what is undefined says why.

    >>> estimate("accuracy", {"value": 0.8123, "low": 0.801, "high": 0.823})
    '81.2 % [80.1, 82.3]'
    >>> estimate("rmse", 2.5)
    '2.5'
    """
    if not isinstance(value, Mapping):
        value = {"value": value}
    if value.get("value") is None:
        return "undefined" + (f": {value['reason']}" if value.get("reason") else "")
    text = number(metric, value["value"]) + (" %" if is_fraction(metric) else "")
    if value.get("low") is not None and value.get("high") is not None:
        text += f" [{number(metric, value['low'])}, {number(metric, value['high'])}]"
    return text


def number(metric: str, value: float) -> str:
    """A metric's value in percent, or as it stands where the metric is no fraction."""
    return f"{100 * value:.1f}" if is_fraction(metric) else f"{value:.4g}"


def is_fraction(metric: str) -> bool:
    """Whether a metric lies within -1 and 1."""
    from src.evaluation.metrics import metrics

    return metric not in metrics or metrics[metric].high <= 1


def _check_predictions(arrays: Arrays) -> None:
    """Every role has all fields, and each field as many rows as the role has digests."""
    roles = {name.rpartition(".")[0] for name in arrays} | {""}
    for role in sorted(roles):
        names = [f"{role}.{field}" if role else field for field in PREDICTION_FIELDS]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"predictions lack {', '.join(missing)}")
        rows = arrays[names[0]].size
        if wrong := [name for name in names if rows not in arrays[name].shape[:2]]:
            raise ValueError(f"predictions: {', '.join(wrong)} not of {rows} rows")


def _check_values(arrays: Arrays, classes: int) -> None:
    """Rows and folds one-dimensional whole numbers, labels and predictions finite and, of `classes`, below their number."""
    import numpy as np

    for name, array in arrays.items():
        field = name.rpartition(".")[2]
        if field in ("row", "fold", "label") and (
            array.ndim != 1 or (field != "label" and array.dtype.kind not in "iu")
        ):
            raise ValueError(f"predictions: {name} is {array.dtype} of shape {array.shape}")
        if field not in ("label", "prediction"):
            continue
        if array.ndim > 2 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ValueError(f"predictions: {name} is {array.dtype} of shape {array.shape}, or not finite")
        if classes and (
            array.dtype.kind == "f" or (array.size and not 0 <= int(array.min()) <= int(array.max()) < classes)
        ):
            raise ValueError(f"predictions: {name} holds what is no class of {classes}")


def _pack(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    # a transposed view would be stored in the order of its memory
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=dict(metadata))


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else flatten(error)
