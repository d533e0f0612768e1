"""Every figure is drawn from records alone, to the same bytes each time, with one look per pooling."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import style
from experiments.bundles import Record
from experiments.paper import evidence
from experiments.paper.evidence import PAIR_TASKS, TASKS
from experiments.paper.figures import drawing, registry
from experiments.paper.figures.registry import FIGURES
from experiments.studies.pooler_arms import ARMS as POOLER_ARMS
from src.errors import UserError
from src.pooling import poolings
from src.results.cautions import uses_untrained_pooler
from tests.helpers.records import make_predictions, make_result

pytest.importorskip("matplotlib")

REPOSITORY = Path(__file__).parents[3]
ROWS, DRAWS = 60, 3
METRICS = {"cola": "mcc", "mrpc": "f1"}
FOUR = ("cls", "pooler", "mean", "max")
LADDER = ("cls", "pooler_preactivation", "pooler", "pooler_inverse", "random_pooler")
TWO = ("mr", "mrpc")
TRAININGS = tuple(f"{arm}-{seed}" for seed in range(2) for arm in ("mlm", "nsp_other_document"))
POOLERS = tuple(f"{arm}-{seed}" for seed in range(2) for arm in POOLER_ARMS)
# What the runs of each experiment differ in; any other name is taken for an experiment like the last.
EXPERIMENTS: dict[str, dict[str, Sequence[Any]]] = {
    "poolings": {"dataset": TASKS[-9:], "pooling": (*FOUR, "random_pooler")},
    "ladder": {"dataset": TWO, "grid": ([0.0], [0.0001], [1.0, 0.1]), "pooling": LADDER},
    "precision": {"dataset": TWO, "dtype": ("float32", "mixed", "bfloat16", "float16"), "pooling": (*LADDER, "mean")},
    "layers": {"dataset": TWO, "layer": (0, 1, 2), "pooling": ("cls", "mean", "max")},
    "protocol": {"dataset": TWO, "probe": ("logistic", "senteval", "mteb"), "pooling": FOUR},
    "pairs": {"dataset": ("rte", "demo_coherence"), "pairing": ("joint", "separate"), "pooling": FOUR},
    "coherence": {"dataset": ("book_coherence",), "pairing": ("joint", "separate"), "pooling": FOUR},
    "draws": {"dataset": TWO, "draws": (DRAWS,), "pooling": FOUR},
    "finetune": {"dataset": TWO, "probe": ("finetune",), "draws": (DRAWS,), "pooling": ("cls", "pooler", "mean")},
    "arms": {"named": TRAININGS, "dataset": ("mr", "cr", "trec"), "pooling": ("cls", "pooler", "mean")},
    "few_shot": {"dataset": TWO, "draws": (DRAWS,), "size": (8, 32), "pooling": ("cls", "pooler", "mean")},
    "mdl": {"dataset": TWO, "probe": ("mdl",), "pooling": FOUR},
    "nsp_pooler": {"named": POOLERS, "dataset": ("mr", "cr", "trec"), "pooling": ("cls", "pooler")},
    "similarity": {"dataset": ("stsb", "sts12"), "features": ("none", "centre", "whiten"), "pooling": FOUR},
    "any": {"dataset": TWO, "pooling": FOUR},
}


def bundle(name: str) -> list[Record]:
    """Small records of an experiment: a model and its tasks, every pooling wrong on rows of its own."""
    experiment, _, model = name.partition("/")
    axes = EXPERIMENTS.get(experiment, EXPERIMENTS["any"])
    runs = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    return [_record(experiment, model, number, **run) for number, run in enumerate(runs)]


def _record(experiment: str, model: str, number: int, **run: Any) -> Record:
    labels = np.arange(ROWS) % 2
    draws = run.get("draws", 1)
    rng = np.random.default_rng(number)
    predictions = np.stack(
        [np.where(rng.random(ROWS) < 0.2 + 0.01 * (number % 7), 1 - labels, labels) for _ in range(draws)]
    )
    values = [float((each == labels).mean()) for each in predictions]
    config: dict[str, Any] = {
        "model": {"weights": model},
        "probe": {"grid": {"alpha": run.pop("grid", [1.0, 0.1])}, "features": run.pop("features", "standardise")},
        "runtime": {"dtype": run.pop("dtype", "float32")},
    }
    if "size" in run:
        config["probe"]["protocol"] = {"samples_per_label": run.pop("size")}
    score = {
        "metric": METRICS.get(run["dataset"], "accuracy"),
        "value": values[0],
        "low": values[0] - 0.1,
        "high": values[0] + 0.1,
    }
    score |= {"draws": values} if draws > 1 else {}
    if run.get("layer") == 0 and run["dataset"] == TWO[0] and run["pooling"] == "cls":
        score |= {"value": None, "low": None, "high": None, "reason": "a constant has no correlation"}
    named = run.pop("named", model)
    untrained = "MiniLM" in named or model.endswith("random") or named.startswith(("random", "mlm"))
    pooler = {"status": "untrained" if untrained else "trained"}
    if experiment == "mdl":
        curve = [{"rows": rows, "value": 0.7, "low": 0.6, "high": 0.8} for rows in (20, 300, 4000)]
        run["chosen"] = {"curve": curve, "online_code": {"compression": 1.0 + 0.1 * number}}
    if run["dataset"] in (*PAIR_TASKS, "sts12", "demo_coherence", "book_coherence"):
        run["provenance"] = {"texts": {"test": ["a", "b"]}}
    result = make_result(model=named, config=config, score=score, pooler=pooler, **run)
    arrays = make_predictions(labels, predictions if draws > 1 else predictions[0])
    arrays["decision"] = (2.0 * arrays["prediction"] - 1) * rng.uniform(0.5, 2, arrays["prediction"].shape)
    return Record(experiment, result, arrays)


def write_files(folder: Path, names: Sequence[str]) -> None:
    """The files of records that are no bundles, small ones of the same form."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        stem = name.partition("/")[0]
        content = FILES[stem](name)
        (folder / name).write_text(content, encoding="utf-8")


def _table(rows: list[dict[str, Any]]) -> str:
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _along(name: str) -> str:
    axes = itertools.product((500, 1000), TWO, ("cls", "pooler", "mean"))
    fixed = {"metric": "accuracy", "value": 0.7, "low": 0.6, "high": 0.8, "pooler": "trained", "baseline_constant": 0.5}
    return _table([{"step": step, "dataset": dataset, "pooling": pooling, **fixed} for step, dataset, pooling in axes])


def _training(name: str) -> str:
    return _table([{"step": step, "nsp_accuracy": 0.5 + step / 10000} for step in (500, 1000)])


def _diagnostics(name: str) -> str:
    names = (*LADDER, "mean")
    task = {
        "representations": {each: {} for each in names},
        "cka": {" ".join(pair): 0.5 for pair in itertools.combinations(names, 2)},
    }
    status = "untrained" if "MiniLM" in name else "trained"
    weight = {"singular_values": [2.0, 1.0, 0.5, 0.1], "singular_edge": 1.5}
    model = Path(name).stem
    return json.dumps(
        {"model": model, "pooler": {"status": status, "weight": weight}, "tasks": {"one": task, "two": task}}
    )


def _arms(name: str) -> str:
    facts = {
        label: {"arm": label.rpartition("-")[0], "seed": int(label[-1]), "nsp_accuracy": None} for label in TRAININGS
    }
    return json.dumps({"planned": 4, "arms": facts})


def _nsp_pooler(name: str) -> str:
    accuracies = {"head of nsp": {"value": 0.7}, "probe on cls": {"value": 0.6}}
    return json.dumps({"seeds": {str(seed): {"held_out_accuracy": accuracies} for seed in range(2)}})


def _cost(name: str) -> str:
    time = {"median": 0.2, "low": 0.15, "high": 0.3}
    pairings = ("joint", "separate")
    seconds = {
        "tokenise": dict.fromkeys(pairings, time),
        "forward": {pairing: {"1": time, "2": {"median": 0.4, "low": 0.4, "high": 0.5}} for pairing in pairings},
        "pool": {pairing: dict.fromkeys(FOUR, time) for pairing in pairings},
    }
    size = {pairing: {"cls": {"float32": width}} for pairing, width in zip(pairings, (768, 1536), strict=True)}
    return json.dumps({"tasks": {"mrpc": {"rows": 100, "seconds": seconds, "bytes": size}}})


def _simulation(name: str) -> str:
    fixed = {
        "method": "Wilson",
        "setting": "balanced",
        "nominal": 0.95,
        "error": 0.005,
        "trials": 2000,
        "within": "yes",
        "note": "",
    }
    rows = [
        {"quantity": quantity, "metric": "accuracy", "rows": rows, "measured": measured, **fixed}
        for quantity, measured in (("coverage", 0.95), ("type-I error", 0.05), ("false equivalence", 0.08))
        for rows in (71, 250)
    ]
    return _table([*rows, rows[0] | {"metric": "D2", "method": "units", "setting": "5 units, normal effects"}])


FILES = {
    "along.csv": _along,
    "bert-books-training.csv": _training,
    "diagnostics": _diagnostics,
    "cost": _cost,
    "arms": _arms,
    "nsp_pooler": _nsp_pooler,
    "simulation.csv": _simulation,
    "parity.json": lambda name: (Path(__file__).parents[3] / "experiments" / "records" / name).read_text(
        encoding="utf-8"
    ),
}


MODELS = ("bert-books", "all-MiniLM-L6-v2")
OPTIONAL = {"cost": ("layers/*", "pairs/*"), "pairs": ("coherence/bert-books",)}


def is_bundle(need: str) -> bool:
    return Path(need).suffix not in (".csv", ".json")


def records_of(name: str) -> list[str]:
    """The records of a figure, of both models where those of any will do."""
    named = [*FIGURES[name].NEEDS, *OPTIONAL.get(name, ())]
    return list(dict.fromkeys(need.replace("*", model) for need in named for model in MODELS))


def drawn(name: str, folder: Path) -> tuple[Any, dict[str, list[Record]]]:
    """A figure from small records, and the records."""
    needs = records_of(name)
    data = {need: bundle(need) for need in needs if is_bundle(need)}
    write_files(folder, [need for need in needs if not is_bundle(need)])
    return FIGURES[name].draw(data, folder), data


def written(figure: Any) -> Iterator[Any]:
    """Every text that a figure shows."""
    from matplotlib.text import Text

    return (text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip())


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_legible_and_the_same_twice(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DPI", 40)  # quick, as the next
    for module in (evidence, FIGURES[name]):
        monkeypatch.setattr(module, "RESAMPLES", 500, raising=False)
    start = time.process_time()
    figure, data = drawn(name, tmp_path)
    assert time.process_time() - start < 3  # a second, on a machine that does nothing else

    first = _digests(registry.save(figure, tmp_path / "first"))
    again, _ = drawn(name, tmp_path)
    assert first == _digests(registry.save(again, tmp_path / "second"))

    figure.set_dpi(registry.DPI)  # text has its own width at each resolution
    figure.draw_without_rendering()
    box = figure.get_tightbbox()  # inches
    width, height = figure.get_size_inches()
    assert width == drawing.WIDTH
    assert -0.01 <= box.x0 <= box.x1 <= width + 0.01 and -0.01 <= box.y0 <= box.y1 <= height + 0.01
    assert min(text.get_fontsize() for text in written(figure)) >= 7

    shown = " ".join(text.get_text() for text in written(figure))
    if any(uses_untrained_pooler(record.result) for records in data.values() for record in records):
        assert "untrained" in shown


@pytest.mark.parametrize("name", ["nsp_pooler", "scores"])
def test_no_label_is_cut_at_the_resolution_of_the_picture(name: str, tmp_path: Path) -> None:
    figure, _ = drawn(name, tmp_path)
    registry.save(figure, tmp_path / name)
    figure.set_dpi(registry.DPI)
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.x1 <= drawing.WIDTH


@pytest.mark.parametrize("name", ["few_shot", "similarity"])
def test_a_score_that_is_undefined_is_left_out(name: str, tmp_path: Path) -> None:
    needs = records_of(name)
    data = {need: bundle(need) for need in needs if is_bundle(need)}
    whole = FIGURES[name].draw(data, tmp_path)
    for need, (first, *rest) in data.items():
        undefined = {**first.result.score, "value": None, "low": None, "high": None}
        data[need] = [replace(first, result=replace(first.result, score=undefined)), *rest]
    figure = FIGURES[name].draw(data, tmp_path)
    assert 0 < points(figure) < points(whole)


def points(figure: Any) -> int:
    """How many points the lines of a figure have; none may be undefined."""
    lines = [line.get_xydata() for axis in figure.axes for line in axis.lines]
    assert all(np.isfinite(line).all() for line in lines)
    return sum(map(len, lines))


def _digests(files: Sequence[Path]) -> list[str]:
    assert [file.suffix for file in files] == [".pdf", ".png"]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_caption_and_names_missing_records(name: str, tmp_path: Path) -> None:
    module = FIGURES[name]
    assert module.CAPTION.endswith(".")
    assert module.draw.__doc__ and module.__doc__
    with pytest.raises(UserError, match=re.escape(f"'{name}' lacks {module.NEEDS[0]}")):
        module.draw({}, tmp_path)


@pytest.mark.parametrize("name", [name for name in FIGURES if any("*" in need for need in FIGURES[name].NEEDS)])
def test_a_figure_shows_the_models_that_have_records(name: str, tmp_path: Path) -> None:
    needs = [need for need in records_of(name) if MODELS[1] not in need]
    write_files(tmp_path, [need for need in needs if not is_bundle(need)])
    figure = FIGURES[name].draw({need: bundle(need) for need in needs if is_bundle(need)}, tmp_path)
    assert not any(MODELS[1] in text.get_text() for text in written(figure))


def test_no_two_figures_have_one_place() -> None:
    assert len({module.PLACE for module in FIGURES.values()}) == len(FIGURES)
    assert {"scores", "differences", "layers"} <= set(FIGURES)


SETTINGS = """
import hashlib, pathlib, sys
sys.path.insert(0, ".")
from tests.experiments.paper.test_figures import drawn
from experiments.paper.figures import registry
figure, _ = drawn("along", pathlib.Path(sys.argv[1]))
files = registry.save(figure, pathlib.Path(sys.argv[1]) / "out")
print([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
assert not {"torch", "transformers"} & set(sys.modules)
"""


def test_settings_of_the_machine_do_not_change_a_figure(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 20\nlines.linewidth: 5\nsavefig.dpi: 50\npdf.fonttype: 42\n", encoding="utf-8"
    )
    environment = {**os.environ, "MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", SETTINGS, str(tmp_path)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ended.returncode, ended.stderr
    figure, _ = drawn("along", tmp_path)
    assert ended.stdout.strip() == str(_digests(registry.save(figure, tmp_path / "here")))


@pytest.mark.parametrize("name", poolings)
def test_a_pooling_through_an_untrained_pooler_is_labelled_untrained(name: str) -> None:
    assert ("untrained" in style.pooling_label(name, "untrained")) == poolings[name].needs_pooler
    assert style.pooling_label(name, "trained") == style.LABELS.get(name, name)
    hollow = drawing.marker_style(name, "untrained")["markerfacecolor"] == "white"
    assert hollow == (poolings[name].needs_pooler or name == "random_pooler")


def test_an_unknown_pooling_keeps_its_name() -> None:
    assert style.pooling_label("pooler_of_old", "untrained") == "pooler_of_old"
    assert style.sort_poolings(["zeta", "mean", "alpha", "cls", "mean"]) == ["cls", "mean", "alpha", "zeta"]


def test_no_two_poolings_share_a_colour_or_a_marker() -> None:
    assert set(poolings) <= set(style.COLOURS)
    assert len(set(style.COLOURS.values())) == len(style.COLOURS)
    assert len(set(style.MARKERS.values())) == len(style.MARKERS)


# Machado, Oliveira and Fernandes (2009): how full deuteranopia and protanopia show linear red, green and blue.
BLINDNESS = {
    "none": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_of_the_main_poolings_are_distinct_to_the_colour_blind(kind: str) -> None:
    seen = {name: _lab(style.COLOURS[name], BLINDNESS[kind]) for name in (*LADDER, "mean", "max")}
    for (a, first), (b, second) in itertools.combinations(seen.items(), 2):
        assert np.linalg.norm(first - second) > 10, (a, b)


def _lab(colour: str, seen: Any) -> np.ndarray:
    """CIELAB under daylight of an sRGB colour as it is seen."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]] @ np.clip(
        np.asarray(seen) @ linear, 0, 1
    )
    x, y, z = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
