"""Tasks without a training split: the STS years, SICK as one split, STS-B's test split."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from src.data.checks import check_probe
from src.data.dataset import Dataset
from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import make_dataset, make_split, option, second_texts, write_files

YEARS = {
    "sts12": (3.506, {"MSRpar": 750, "MSRvid": 750, "SMTeuroparl": 459, "surprise.OnWN": 750, "surprise.SMTnews": 399}),
    "sts13": (2.336, {"FNWN": 189, "OnWN": 561, "headlines": 750}),
    "sts14": (
        2.811,
        {"OnWN": 750, "deft-forum": 450, "deft-news": 300, "headlines": 750, "images": 750, "tweet-news": 750},
    ),
    "sts15": (
        2.406,
        {"answers-forums": 375, "answers-students": 750, "belief": 375, "headlines": 750, "images": 750},
    ),
}
FOLDER = "senteval/STS/STS12-en-test"
SETS = {
    f"{FOLDER}/STS.input.MSRvid.txt": "a\tb\nc\td\n",
    f"{FOLDER}/STS.gs.MSRvid.txt": "5\n\n",
    f"{FOLDER}/STS.input.MSRpar.txt": "e\tf\ng\th\n",
    f"{FOLDER}/STS.gs.MSRpar.txt": "1\n2.5\n",
    f"{FOLDER}/STS.gs.ALL.txt": "1\n2.5\n5\n\n",
}


def similarity(**fields: object) -> Dataset:
    """Return a dataset of scored pairs without a training split, its rows with sets where given."""
    split = make_split([("a", 1.0), ("b", 2.0)], pair=["c", "d"], name="test")
    changed = type(split)(split.name, split.text, split.text_pair, split.label, **fields)  # type: ignore[arg-type]
    return make_dataset({"test": changed}, task="regression", classes=(), metrics=("spearman",))


@pytest.mark.parametrize("name", YEARS)
def test_rows_and_sets_of_the_official_years(shared: Path, name: str) -> None:
    mean, sizes = YEARS[name]
    read = load_dataset(option(name), str(shared / "data"))
    test = read.test
    assert test.sets == tuple(sizes) and test.set_ids is not None and test.set_ids.dtype == np.int64
    assert np.bincount(test.set_ids).tolist() == list(sizes.values())
    assert test.label.mean() == pytest.approx(mean, abs=0.0006)
    assert test.label.min() >= 0 and test.label.max() <= 5
    assert read.left_out == (5500 if name == "sts15" else 0)
    assert read.roles == {"test": "test"} and read.has_pairs and len(read.source["files"]) == 2 * len(sizes)


def test_sick_as_one_split_and_the_test_split_of_stsb(shared: Path) -> None:
    root = str(shared / "data")
    sick, parts = load_dataset(option("sick_sts"), root), load_dataset(option("sick_r"), root)
    assert len(sick.test) == 9927 and sick.test.label.mean() == pytest.approx(3.529, abs=0.0006)
    assert sick.test.text.to_pylist() == [
        text for name in ("train", "validation", "test") for text in parts.splits[name].text.to_pylist()
    ]
    usual, stsb = load_dataset(option("stsb"), root), load_dataset(option("stsb", splits={"test": "test"}), root)
    assert set(usual.splits) == {"train", "validation"}, "read only when it is scored"
    assert len(stsb.test) == 1379 and stsb.test.label.mean() == pytest.approx(2.608, abs=0.0006)
    assert stsb.train.text_digest == usual.train.text_digest and stsb.test_in_train() == 7
    quoted = [text for text in (*stsb.test.text.to_pylist(), *second_texts(stsb.test)) if text.startswith('"')]
    assert quoted, "quotes are characters"
    check_probe(stsb)


def test_the_sets_of_a_year_follow_one_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read = load_dataset(option("sts12"), write_files(tmp_path, SETS))
    assert "sts12" in caplog.text and "MSRpar, MSRvid" in caplog.text and "SMTeuroparl" in caplog.text
    test = read.test
    assert test.text.to_pylist() == ["e", "g", "a"] and second_texts(test) == ["f", "h", "b"]
    assert test.label.tolist() == [1.0, 2.5, 5.0] and test.sets == ("MSRpar", "MSRvid")
    assert test.set_ids is not None and test.set_ids.tolist() == [0, 0, 1]
    assert read.left_out == 1 and read.source["left_out"] == {"test": 1}
    assert str(tmp_path) not in json.dumps(read.source) and "STS.gs.MSRpar.txt" in read.source["files"]
    caplog.clear()
    sets = {"test": ["MSRpar", "MSRvid"]}
    load_dataset(option("sts12", local={"files": sets}), str(tmp_path))
    assert not caplog.text


def test_a_year_that_is_not_there_or_incomplete_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"sts12: .*{FOLDER} in data_root="):
        load_dataset(option("sts12"), str(tmp_path))
    root = write_files(tmp_path, SETS)
    (tmp_path / FOLDER / "STS.input.MSRvid.txt").unlink()
    with pytest.raises(UserError, match=rf"{FOLDER} has STS.gs.MSRvid.txt and no STS.input.MSRvid.txt"):
        load_dataset(option("sts12"), root)


def test_the_labelled_file_of_stsb_has_no_header_and_further_fields(tmp_path: Path) -> None:
    header = "index\tgenre\tsentence1\tsentence2\tscore\n"
    files = {f"{name}.tsv": f"{header}0\tnews\ta\tb\t1.0\n1\tnews\tc\td\t2\n" for name in ("train", "dev")}
    files["original/sts-test.tsv"] = 'g\tf\ty\t1\t2.500\t"a\tb\ng\tf\ty\t2\t3\tc\td"\tsource\tsource\n'
    root = write_files(tmp_path, {f"glue_data/STS-B/{name}": content for name, content in files.items()})
    read = load_dataset(option("stsb", splits={"test": "test"}), root)
    assert read.test.text.to_pylist() == ['"a', "c"] and second_texts(read.test) == ["b", 'd"']
    assert read.test.label.tolist() == [2.5, 3.0] and "original/sts-test.tsv" in read.source["files"]
    (tmp_path / "glue_data/STS-B/original/sts-test.tsv").write_text("g\tf\ty\t1\t2.5\ta\n")
    with pytest.raises(UserError, match=r"original/sts-test.tsv' line 1 has 6 fields, not 7"):
        load_dataset(option("stsb", splits={"test": "test"}), root)
    assert set(load_dataset(option("stsb"), root).splits) == {"train", "validation"}
    (tmp_path / "glue_data/STS-B/original/sts-test.tsv").unlink()
    with pytest.raises(UserError, match=r"stsb: there is no glue_data/STS-B/original/sts-test.tsv"):
        load_dataset(option("stsb", splits={"test": "test"}), root)


def test_a_probe_that_is_fitted_needs_a_training_split() -> None:
    data = similarity()
    assert not data.has_train and data.test_in_train() == 0
    with pytest.raises(UserError, match=r"^toy has no training split: use probe=cosine, .*[+]dataset.splits.train="):
        check_probe(data)
    with pytest.raises(UserError, match="toy has no training split"):
        _ = data.train


def test_sets_enter_identity_where_they_exist() -> None:
    plain, ids = similarity(), np.array([0, 1])
    several = [
        similarity(sets=("a", "b"), set_ids=ids),
        similarity(sets=("a", "c"), set_ids=ids),
        similarity(sets=("a", "b"), set_ids=ids[::-1].copy()),
    ]
    assert len(plain.identity()["roles"]["test"]) == 3
    assert len({json.dumps(each.identity()) for each in (plain, *several)}) == 4
    assert several[0].test.sets_digest == similarity(sets=("a", "b"), set_ids=ids).test.sets_digest


def test_a_year_with_sources_quotes_and_pairs_without_a_score(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in 2016: four columns, names with hyphens, most pairs unscored, line ends of either kind."""
    folder = "senteval/STS/STS16-en-test"
    odd = {
        "answer-answer": ('"You can do it, "Prime".\tYou can\u2019t do it.\thttp://a?b=1\thttp://c\n' * 3, "4\n\n0\n"),
        "headlines": ("A: b\tC \u2013 d\tx.html\ty.html\r\n" * 2, "5\r\n3\r\n"),
        "plagiarism": ("na\u00efve \x85 text\t  spaces  \t\t\n", " 2 \n"),
        "postediting": ("one\ttwo\nline without a tab or a score\nthree\tfour", "1\n\n4"),
        "question-question": ("What is it?\tWhat is that?\ta\tb\n" * 2, "\n2.000\n"),
    }
    files = {f"{folder}/STS.input.{name}.txt": pairs for name, (pairs, _) in odd.items()}
    files |= {f"{folder}/STS.gs.{name}.txt": gold for name, (_, gold) in odd.items()}
    with caplog.at_level(logging.WARNING):
        read = load_dataset(option("sts16"), write_files(tmp_path, files))
    test = read.test
    assert not caplog.records and test.sets == tuple(odd) and test.set_ids is not None
    assert np.bincount(test.set_ids).tolist() == [2, 2, 1, 2, 1] and read.left_out == 3
    assert test.label.tolist() == [4, 0, 5, 3, 2, 1, 4, 2]
    first, second = test.text.to_pylist(), second_texts(test)
    assert first[0] == '"You can do it, "Prime".' and second[0] == "You can\u2019t do it."
    assert second[2] == "C \u2013 d" and first[4] == "na\u00efve \x85 text" and second[4] == "  spaces  "
