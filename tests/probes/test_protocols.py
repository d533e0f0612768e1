"""Other people's rules on the same features: against each rule as it reads, done by hand with scikit-learn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from src.cli.application import register
from src.cli.validation import parse_config
from src.config.paths import CONF
from src.config.schema import Config, ProbeConfig
from src.data.dataset import Split
from src.errors import UserError
from src.evaluation.estimates import Estimate, evaluate
from src.pipeline.prepare import PreparedRun, prepare
from src.pipeline.record import FinishedRun
from src.pipeline.run import run_probe
from src.probes.checks import check_classes
from src.probes.outcome import ProbeOutcome
from src.probes.protocols.base import get_protocol, protocols
from src.probes.settings import ProbeData, ProbeSettings, Rows
from src.results.display import result_table
from src.run import instantiate
from tests.conftest import write_csv

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine BLAS threads that wait for each other after every small product cost a hundredfold."""
    with threadpool_limits(1, "blas"):
        yield


def probe_config(name: str, **changes: Any) -> ProbeConfig:
    """A file of conf/probe with changed settings of its protocol."""
    values: Any = OmegaConf.to_container(OmegaConf.load(CONF / "probe" / f"{name}.yaml"))
    values["protocol"] = {**(values.get("protocol") or {"name": "suite"}), **changes}
    return ProbeConfig(**values)


def fit(config: ProbeConfig, train: Rows, tests: dict[str, Rows], classes: int = 2, **options: Any) -> ProbeOutcome:
    """Fit by the probe's protocol; options are fields of the data, or of the settings that the probe does not state."""
    names = {name: options.pop(name) for name in ("development", "order") if name in options}
    chosen, data = ProbeSettings.from_config(config, **options), ProbeData(train, tests, classes, **names)
    return get_protocol(config).fit(instantiate(config), chosen, data)


def make(rows: int = 160, classes: int = 2, seed: int = 0, noise: float = 2.0) -> Rows:
    generator = np.random.default_rng(seed)
    x = (generator.standard_normal((rows, 5)) + 1).astype(np.float32)
    turn = np.random.default_rng(99).standard_normal((5, classes))
    scores = (x - 1) @ turn + noise * generator.gumbel(size=(rows, classes))
    return Rows(x, scores.argmax(axis=1).astype(np.int64))


def composed(*words: str) -> Config:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return parse_config(compose("config", list(words)))


def settings(bert: Path | str, tmp_path: Path, *words: str) -> Config:
    common = [
        "dataset=files",
        "dataset.text=text",
        "dataset.label=label",
        "tracker=none",
        "runtime.progress=false",
        "probe.resamples=200",
    ]
    return composed(f"model.path={bert}", f"runtime.cache_dir={tmp_path / 'store'}", *common, *words)


def done(config: Config) -> tuple[PreparedRun, FinishedRun]:
    prepared = prepare(config)
    return prepared, run_probe(prepared, instantiate(config.probe))


@pytest.fixture
def sentences(tmp_path: Path) -> list[str]:
    """Words of a task of 120 and 60 rows, in each of which either a cat or nothing is seen."""
    generator = np.random.default_rng(0)
    words = ["dog", "mat", "rain", "road", "day", "party"]
    for name, rows in (("train", 120), ("test", 60)):
        seen = generator.random(rows) < 0.4
        texts = [
            " ".join([*generator.choice(words, size=generator.integers(2, 7)), *["cat"] * int(cat)]) for cat in seen
        ]
        write_csv(
            tmp_path / f"{name}.csv", [(text, "cat" if cat else "none") for text, cat in zip(texts, seen, strict=True)]
        )
    return [f"dataset.train={tmp_path / 'train.csv'}", f"dataset.test={tmp_path / 'test.csv'}"]


# SentEval ----------------------------------------------------------------------------------------------------------------------------


def accuracy(strength: float, x: Any, y: Any, z: Any, labels: Any) -> float:
    return Reference(C=strength, random_state=1111).fit(x, y).score(z, labels)


def folds_of(x: Any, y: Any, folds: int) -> list[tuple[Any, Any]]:
    return list(StratifiedKFold(folds, shuffle=True, random_state=1111).split(x, y))


def best_of(grid: list[float], x: Any, y: Any, folds: int) -> float:
    """The first strength of the best mean accuracy, which is rounded to two decimals of a percent."""
    scores = [
        round(100 * np.mean([accuracy(each, x[a], y[a], x[b], y[b]) for a, b in folds_of(x, y, folds)]), 2)
        for each in grid
    ]
    return grid[int(np.argmax(scores))]


def nested_by_hand(x: Any, y: Any, folds: int) -> tuple[float, list[float]]:
    """SentEval's accuracy of rows that are sorted as it sorts them, and the strengths chosen."""
    scores, chosen = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for inside, outside in folds_of(x, y, folds):
            chosen.append(best_of([2.0**power for power in range(-2, 4)], x[inside], y[inside], folds))
            scores.append(accuracy(chosen[-1], x[inside], y[inside], x[outside], y[outside]))
    return float(np.mean(scores)), chosen


@pytest.mark.parametrize("classes", [2, 3])
def test_sentevals_nested_folds_are_its_own(classes: int) -> None:
    train = make(classes=classes)
    order = np.random.default_rng(1).permutation(len(train.y))
    outcome = fit(probe_config("senteval", folds=3), train, {}, classes, selection="nested", order=order)
    expected, chosen = nested_by_hand(train.x[order], train.y[order], 3)
    right = outcome.predictions["test"].values == train.y
    assert np.mean([right[outcome.fold_ids == number].mean() for number in range(3)]) == pytest.approx(
        expected, abs=1e-12
    )
    assert outcome.choice.votes == chosen
    assert outcome.choice.parameter == "C"


def test_senteval_cross_validates_train_on_a_grid_of_its_own() -> None:
    train, test = make(), make(seed=1)
    outcome = fit(probe_config("senteval", folds=4), train, {"test": test})
    grid = [2.0**power for power in range(-1, 6)]
    best = best_of(grid, train.x, train.y, 4)
    assert [entry["value"] for entry in outcome.choice.grid] == grid and outcome.choice.value == best
    expected = Reference(C=best, random_state=1111).fit(train.x, train.y).predict(test.x)
    np.testing.assert_array_equal(outcome.predictions["test"].values, expected)


def test_senteval_chooses_by_accuracy_on_a_development_split() -> None:
    train, test, development = make(), make(seed=1), make(seed=2)
    outcome = fit(probe_config("senteval"), train, {"test": test}, selection="development", development=development)
    grid = [2.0**power for power in range(-2, 4)]
    scores = [round(100 * accuracy(each, train.x, train.y, development.x, development.y), 2) for each in grid]
    assert outcome.choice.value == grid[int(np.argmax(scores))]
    assert [100 * (1 - entry["loss"]) for entry in outcome.choice.grid] == pytest.approx(scores, abs=1e-9)


def test_senteval_reads_pairs_apart_without_the_sides_themselves() -> None:
    u, v = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    senteval = get_protocol(probe_config("senteval"))
    assert senteval.pair_features([u, v]).tolist() == [[2.0, 3.0, 3.0, -2.0]]
    assert senteval.pair_features([u]) is u
    assert composed("dataset=mrpc", "probe=senteval").pairing == "separate"
    assert composed("dataset=mr", "probe=senteval").pairing == "joint"
    assert composed("dataset=mrpc", "probe=mteb").pairing == "joint"


def test_senteval_sorts_by_words_and_label() -> None:
    def column(*texts: str) -> pa.LargeStringArray:
        return pa.array(texts, pa.large_string())

    one = Split("train", column("a b", "c", "d  e", ""), None, np.array([1, 1, 0, 1]))
    assert get_protocol(probe_config("senteval")).order(one).tolist() == [3, 1, 2, 0]
    two = Split("train", column("a", "b", "c d"), column("e f", "g", ""), np.array([0, 1, 0]))
    assert get_protocol(probe_config("senteval")).order(two).tolist() == [1, 0, 2]


def test_the_score_in_folds_is_the_mean_of_the_folds() -> None:
    labels, fold = np.array([0, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1])
    predictions = np.array([0, 1, 0, 1, 1])
    found = get_protocol(probe_config("senteval")).score(
        "accuracy", labels, [predictions], fold, lambda each: evaluate("accuracy", labels, each, classes=2)
    )
    assert found["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["low"] < found["value"] < found["high"]


def test_senteval_on_real_rows_is_a_from_scratch_reading_of_it(shared: Path, tmp_path: Path) -> None:
    """The first product reviews through the door's own path, against the same features in scikit-learn's hands."""
    rows = []
    for label, name in (("positive", "custrev.pos"), ("negative", "custrev.neg")):
        lines = (shared / "data/senteval/CR" / name).read_text(encoding="utf-8").split("\n")[:80]
        rows += [(line, label) for line in lines]
    write_csv(tmp_path / "train.csv", rows)
    words = [
        f"dataset.train={tmp_path / 'train.csv'}",
        "dataset.selection=nested",
        "probe=senteval",
        "probe.protocol.folds=3",
    ]
    prepared, finished = done(settings("embedded:bert-books", tmp_path, *words, "dataset.folds=3"))
    from src.features.inputs import encoder_inputs

    (text,) = encoder_inputs(prepared.data.train, "joint", "files")
    x, y = prepared.extractor.features(text, prepared.target).values, prepared.data.train.label
    order = sorted(range(len(y)), key=lambda row: (len(rows[row][0].split()), y[row]))
    expected, chosen = nested_by_hand(np.asarray(x)[order], y[order], 3)
    assert finished.result.score["value"] == pytest.approx(expected, abs=1e-12)
    assert finished.result.chosen["votes"] == chosen


# MTEB --------------------------------------------------------------------------------------------------------------------------------


def test_mteb_fits_eight_rows_of_each_class_again_and_again() -> None:
    train, test = make(classes=3), make(rows=50, classes=3, seed=1)
    outcome = fit(probe_config("mteb"), train, {"test": test}, 3)
    assert outcome.predictions["test"].values.shape == (10, 50) and outcome.predictions["test"].decisions.shape == (
        10,
        50,
        3,
    )
    assert outcome.choice.rows["fitted"] == 24
    assert len({tuple(draw["test"].values) for draw in outcome.draws}) > 5, "every experiment has its own rows"
    again, other = (fit(probe_config("mteb"), train, {"test": test}, 3, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.predictions["test"].values, outcome.predictions["test"].values)
    assert not np.array_equal(other.predictions["test"].values, outcome.predictions["test"].values)
    # The first probe again, from the rows that it must have been fitted on.
    generator = np.random.default_rng([0, 5, 0, 0])
    sample = np.concatenate([generator.choice(np.flatnonzero(train.y == name), 8, replace=False) for name in range(3)])
    expected = Reference(max_iter=100).fit(train.x[sample], train.y[sample]).predict(test.x)
    assert (outcome.draws[0]["test"].values == expected).mean() > 0.97


def test_mteb_in_folds_never_fits_a_row_that_it_predicts() -> None:
    train = make(rows=100)
    before = fit(probe_config("mteb"), train, {}, selection="nested", folds=4)
    assert before.predictions["test"].values.shape == (10, 100) and set(before.fold_ids) == {0, 1, 2, 3}
    inside = np.flatnonzero(before.fold_ids == 1)
    changed = train.x.copy()
    changed[inside[0]] += 100
    after = fit(probe_config("mteb"), Rows(changed, train.y), {}, selection="nested", folds=4)
    np.testing.assert_array_equal(
        after.predictions["test"].values[:, inside[1:]], before.predictions["test"].values[:, inside[1:]]
    )
    assert (before.predictions["test"].values == train.y).mean() > 0.55


def test_mtebs_interval_covers_new_rows_and_new_draws() -> None:
    """Draws differ in how good they are, rows in how hard they are; the truth is the mean over all of both."""
    generator = np.random.default_rng(0)
    mteb, covered, trials = get_protocol(probe_config("mteb")), 0, 300
    for _ in range(trials):
        logits = 1 + 0.3 * generator.standard_normal((10, 1)) + 0.8 * generator.standard_normal(200)
        predictions = (generator.random((10, 200)) < 1 / (1 + np.exp(-logits))).astype(np.int64)
        labels = np.ones(200, dtype=np.int64)
        half = 1.96 * predictions.mean(axis=0).std(ddof=1) / np.sqrt(200)

        def rows(each: Any, half: float = half) -> Estimate:
            return Estimate(each.mean(), each.mean() - half, each.mean() + half, None, "normal")

        found = mteb.score("accuracy", labels, list(predictions), None, rows)
        covered += found["low"] <= TRUTH <= found["high"]
    assert 0.92 <= covered / trials <= 0.995


TRUTH = float(np.mean(1 / (1 + np.exp(-(1 + np.hypot(0.3, 0.8) * np.random.default_rng(1).standard_normal(400_000))))))


# Online code -------------------------------------------------------------------------------------------------------------------------


def coded(noise: float, rows: int = 400, classes: int = 2, shuffled: bool = False) -> dict[str, Any]:
    config = replace(probe_config("mdl"), shuffled_labels=shuffled)
    outcome = fit(config, make(rows, classes, noise=noise), {"test": make(seed=1, classes=classes)}, classes)
    return outcome.details["online_code"]  # type: ignore[no-any-return]


def test_what_is_easily_said_is_shorter() -> None:
    codes = [coded(noise) for noise in (0.3, 2.0, 20.0)]
    assert [code["uniform_bits"] for code in codes] == [400.0] * 3
    assert codes[0]["compression"] > 2 > codes[1]["compression"] > codes[2]["compression"]
    assert coded(0.3, shuffled=True)["compression"] < 1.05, "nothing is learned from shuffled labels"
    assert coded(0.3, classes=3)["uniform_bits"] == pytest.approx(400 * np.log2(3))


def test_the_code_length_is_the_sum_over_the_blocks() -> None:
    config = replace(probe_config("mdl", blocks=[10.0, 50.0]), grid={"alpha": [0.03]})
    train, test = make(200), make(seed=1)
    outcome = fit(config, train, {"test": test}, seed=3)
    order = np.random.default_rng([3, 6]).permutation(200)
    bits = 20.0
    for end, after in ((20, 100), (100, 200)):
        known, block = order[:end], order[end:after]
        mean, scale = train.x[known].mean(axis=0, dtype=np.float64), train.x[known].std(axis=0, dtype=np.float64)
        model = Reference(C=1 / (0.03 * end), tol=1e-10, max_iter=10000).fit(
            (train.x[known] - mean) / scale, train.y[known]
        )
        likely = model.predict_proba((train.x[block] - mean) / scale)[np.arange(len(block)), train.y[block]]
        bits -= np.log2(likely).sum()
    code = outcome.details["online_code"]
    assert code["bits"] == pytest.approx(bits, rel=1e-5)
    assert code["uniform_rows"] == 20 and [block["coded"] for block in code["blocks"]] == [80, 100]
    assert code["compression"] == pytest.approx(200 / bits, rel=1e-5)
    assert [point.rows for point in outcome.curve] == [20, 100, 200]


def test_the_first_block_grows_until_a_probe_can_be_fitted() -> None:
    train = make(300)
    rare = Rows(train.x, (np.arange(300) % 60 == 0).astype(np.int64))
    code = fit(probe_config("mdl"), rare, {"test": make(seed=1)}).details["online_code"]
    order = np.random.default_rng([0, 6]).permutation(300)
    assert rare.y[order[: code["uniform_rows"]]].any()
    assert sum(block["coded"] for block in code["blocks"]) == 300 - code["uniform_rows"]


def test_the_code_ends_with_the_suites_own_score(bert: Path, tmp_path: Path, sentences: list[str]) -> None:
    plain = done(settings(bert, tmp_path, *sentences))[1]
    result = done(settings(bert, tmp_path, *sentences, "probe=mdl"))[1].result
    assert result.score == plain.result.score
    assert result.chosen["curve"][-1] == {
        "rows": 120,
        **{name: result.score[name] for name in ("value", "low", "high")},
    }
    assert f"compression {result.chosen['online_code']['compression']:.2f}" in result_table(result)


# Shuffled labels ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selection", ["carve", "development", "nested"])
def test_shuffled_labels_score_chance(selection: str) -> None:
    train, test, config = make(600, noise=0.1), make(2000, seed=1, noise=0.1), probe_config("logistic")
    tests = {} if selection == "nested" else {"test": test}
    options = {
        "selection": selection,
        "development": make(200, seed=2) if selection == "development" else None,
        "folds": 4,
    }
    labels = train.y if selection == "nested" else test.y
    real = fit(config, train, tests, **options)
    config = replace(config, shuffled_labels=True)
    shuffled = fit(config, train, tests, **options)
    assert (real.predictions["test"].values == labels).mean() > 0.9
    assert abs((shuffled.predictions["test"].values == labels).mean() - 0.5) < 0.15
    assert not np.array_equal(shuffled.fitted.weight, fit(config, train, tests, seed=1, **options).fitted.weight)


def test_shuffled_labels_have_a_key_of_their_own_and_say_so(bert: Path, tmp_path: Path, sentences: list[str]) -> None:
    plain = prepare(settings(bert, tmp_path, *sentences))
    shuffled, finished = done(settings(bert, tmp_path, *sentences, "probe.shuffled_labels=true"))
    assert shuffled.key != plain.key
    assert "labels of the training rows were shuffled" in result_table(finished.result)
    assert (finished.predictions["label"] == plain.data.test.label).all(), "test rows keep theirs"


# Through the door --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["senteval", "mteb", "mdl"])
def test_a_protocol_leaves_a_whole_record(bert: Path, tmp_path: Path, sentences: list[str], name: str) -> None:
    prepared, finished = done(settings(bert, tmp_path, *sentences, f"probe={name}"))
    result = type(finished.result).from_json(finished.result.to_json())
    finished.write(tmp_path / "out")
    assert result.probe == name and result.config["probe"]["protocol"]["name"] == name
    assert result.score["low"] <= result.score["value"] <= result.score["high"]
    assert finished.predictions["prediction"].shape == ((10, 60) if name == "mteb" else (60,))
    assert prepare(settings(bert, tmp_path, *sentences)).key != prepared.key


def test_what_is_off_enters_no_key() -> None:
    assert not {"protocol", "shuffled_labels"} & set(ProbeConfig().as_record())
    assert composed("dataset=cola").probe == composed("dataset=cola", "probe=logistic").probe
    assert composed("dataset=cola", "probe.protocol.name=mdl").probe.as_record()["protocol"] == {"name": "mdl"}


@pytest.mark.parametrize("name", list(protocols))
def test_every_protocol_says_what_it_is(name: str) -> None:
    assert (protocols[name].__doc__ or "").strip()
    assert get_protocol(ProbeConfig(protocol={"name": name}))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset=sick_r", "probe=senteval"], "probe=senteval is for classification"),
        (["dataset=stsb", "probe=mdl"], "probe=mdl is for classification"),
        (["dataset=cola", "probe.protocol.name=sentevil"], "did you mean 'senteval'"),
        (["dataset=cola", "probe=mteb", "+probe.protocol.draws=3"], "unknown key 'draws'"),
        (["dataset=cola", "probe=mteb", "probe.protocol.experiments=1"], "experiments 2 or more"),
        (["dataset=cola", "probe=mteb", "probe.grid.C=[1,2]"], "MTEB chooses nothing"),
        (["dataset=cola", "probe=mdl", "probe.protocol.blocks=[50,10]"], "rising percentages"),
        (["dataset=cola", "probe=mdl", "probe.protocol.blocks=[a]"], "rising percentages"),
        (["dataset=cola", "probe=mteb", "probe.protocol.samples_per_label=some"], "a whole number"),
        (["dataset=cola", "probe=senteval", "probe.protocol.folds=1"], "at least 2"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        composed(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["probe=senteval", "draws=2"], "Set draws=1"),
        (["probe=mteb", "draws=2"], "experiments instead"),
        (["probe=mdl", "dataset.selection=nested", "dataset.test=null"], "needs a test split of its own"),
        (["probe=senteval", "probe.protocol.folds=100"], "fewer than SentEval's 100 folds"),
    ],
)
def test_what_the_rows_do_not_allow_is_refused(
    bert: Path, tmp_path: Path, sentences: list[str], words: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        prepare(settings(bert, tmp_path, *sentences, *words))


def labelled(rows: int, classes: int) -> Any:
    """As much of a task as tells how many training rows and classes it has."""
    return SimpleNamespace(name="here", classes=range(classes), train=range(rows))


@pytest.mark.parametrize(
    ("rows", "classes", "said"),
    [
        (40, 40, "dataset.task=regression"),
        (20_000, 19_000, "dataset.label"),
        (30, 21, "dataset.label"),
        (20_000, 5_000, "1,000"),
        (400_000, 1_000, "memory"),
    ],
)
def test_labels_that_are_no_classes_and_too_many_classes_are_refused(rows: int, classes: int, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as error:
        check_classes(labelled(rows, classes))
    assert f"{classes:,}" in str(error.value)


@pytest.mark.parametrize(("rows", "classes"), [(40, 20), (10_003, 77), (400_000, 3), (10, 9)])
def test_as_many_classes_as_datasets_have_are_let_through(rows: int, classes: int) -> None:
    check_classes(labelled(rows, classes))
