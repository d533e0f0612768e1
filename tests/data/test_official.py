"""Official downloads: each layout, the full files where they are available, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.data.checks import check_probe
from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import counts, option, second_texts, write_files

FULL = {
    "cola": {"train": [2528, 6023], "validation": [322, 721]},
    "sst2": {"train": [29780, 37569], "validation": [428, 444]},
    "mrpc": {"train": [1194, 2474], "validation": [129, 279]},
    "rte": {"train": [1249, 1241], "validation": [146, 131]},
    "wnli": {"train": [323, 312], "validation": [40, 31]},
    "mr": {"all": [5331, 5331]},
    "cr": {"all": [1368, 2407]},
    "mpqa": {"all": [7294, 3312]},
    "sst_binary": {"train": [29780, 37569], "validation": [428, 444], "test": [912, 909]},
    "sst_fine": {
        "train": [1092, 2218, 1624, 2322, 1288],
        "validation": [139, 289, 229, 279, 165],
        "test": [279, 633, 389, 510, 399],
    },
    "tweet_irony": {"train": [1417, 1445], "validation": [499, 456], "test": [473, 311]},
    "tweet_offensive": {"train": [7975, 3941], "validation": [865, 459], "test": [620, 240]},
    "sick_e": {"train": [665, 2536, 1299], "validation": [74, 282, 144], "test": [720, 2793, 1414]},
}


@pytest.mark.parametrize("name", FULL)
def test_label_counts_of_the_official_files(shared: Path, name: str) -> None:
    read = load_dataset(option(name), str(shared / "data"))
    assert {split: counts(rows) for split, rows in read.splits.items()} == FULL[name]
    check_probe(read)


@pytest.mark.parametrize(
    ("name", "sizes", "means"),
    [("stsb", (5749, 1500), (2.70, 2.36)), ("sick_r", (4500, 500, 4927), (3.52, 3.59, 3.53))],
)
def test_scores_of_the_official_files(
    shared: Path, name: str, sizes: tuple[int, ...], means: tuple[float, ...]
) -> None:
    read = load_dataset(option(name), str(shared / "data"))
    assert tuple(len(split) for split in read.splits.values()) == sizes
    assert [split.label.mean() for split in read.splits.values()] == pytest.approx(means, abs=0.006)
    low, high = (0, 5) if name == "stsb" else (1, 5)
    assert all(
        split.label.dtype == np.float64 and split.label.min() >= low and split.label.max() <= high
        for split in read.splits.values()
    )
    check_probe(read)


def test_only_the_files_of_used_splits_are_needed(shared: Path) -> None:
    with pytest.raises(UserError, match=r"qnli: .*glue_data/QNLI/train.tsv .*data_root="):
        load_dataset(option("qnli"), str(shared / "data"))
    read = load_dataset(option("qnli", splits={"train": "validation"}), str(shared / "data"))
    assert {name: counts(split) for name, split in read.splits.items()} == {"validation": [2702, 2761]}


def test_known_overlaps_and_oddities_of_the_official_files(shared: Path) -> None:
    root = str(shared / "data")
    cola = load_dataset(option("cola"), root)
    assert cola.test_in_train() == 16
    sst2 = load_dataset(option("sst2"), root)
    assert sst2.test_in_train() == 0
    assert len(sst2.train) - len(np.unique(sst2.train.row_digests())) == 371
    cr, mpqa = (load_dataset(option(name), root) for name in ("cr", "mpqa"))
    assert [cr.train.text.to_pylist().count(""), mpqa.train.text.to_pylist().count("")] == [4, 3]
    sick = load_dataset(option("sick_e"), root)
    assert not any(text.endswith("\r") for text in second_texts(sick.test))
    quoted = {"mrpc": 455, "rte": 70, "stsb": 124}
    for name, expected in quoted.items():
        split = load_dataset(option(name), root).train
        both = zip(split.text.to_pylist(), second_texts(split), strict=True)
        assert sum(first.startswith('"') or second.startswith('"') for first, second in both) == expected


def test_cola_has_no_header_and_no_last_newline(tmp_path: Path) -> None:
    root = write_files(
        tmp_path,
        {
            "glue_data/CoLA/train.tsv": "gj04\t1\t\tGood.\nks08\t0\t*\tBad is.\n",
            "glue_data/CoLA/dev.tsv": "gj04\t0\t*\tNo newline is",
        },
    )
    read = load_dataset(option("cola"), root)
    assert read.train.text.to_pylist() == ["Good.", "Bad is."] and read.train.label.tolist() == [1, 0]
    assert read.test.text.to_pylist() == ["No newline is"] and read.classes == ("unacceptable", "acceptable")
    assert read.source["from"] == "folder" and set(read.source["files"]) == {"train.tsv", "dev.tsv"}
    assert str(tmp_path) not in json.dumps(read.source)


def test_mrpc_has_a_byte_order_mark_and_quotes_that_are_characters(tmp_path: Path) -> None:
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = '1\t1\t2\t" He said .\tHe said " no .\n0\t3\t4\tA "b" c\t"d"\n'
    read = load_dataset(
        option("mrpc"),
        write_files(tmp_path, {f"glue_data/MRPC/{name}.tsv": header + rows for name in ("train", "dev")}),
    )
    assert read.train.text.to_pylist() == ['" He said .', 'A "b" c']
    assert second_texts(read.train) == ['He said " no .', '"d"']
    assert read.test_in_train() == 2


def test_texts_are_not_stripped(tmp_path: Path) -> None:
    content = "sentence\tlabel\na fine film \t1\ndull\t0\n"
    read = load_dataset(
        option("sst2"),
        write_files(tmp_path, {"glue_data/SST-2/train.tsv": content, "glue_data/SST-2/dev.tsv": content}),
    )
    assert read.train.text.to_pylist() == ["a fine film ", "dull"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "labels"), [("sick_e", [1, 0]), ("sick_r", [4.5, 1.0])])
def test_sick_is_read_with_either_line_end(tmp_path: Path, name: str, labels: list[float], end: str) -> None:
    lines = [
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment",
        "1\ta\tb\t4.5\tNEUTRAL",
        "2\tc\td\t1\tCONTRADICTION",
        "",
    ]
    files = ("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt")
    read = load_dataset(
        option(name), write_files(tmp_path, {f"senteval/SICK/{file}": end.join(lines) for file in files})
    )
    assert read.test.label.tolist() == labels and second_texts(read.test) == ["b", "d"]
    assert read.roles == {"train": "train", "development": "validation", "test": "test"}


def test_mnli_is_scored_on_both_validation_sets(tmp_path: Path) -> None:
    parses = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    long = f"index\tpromptID\tpairID\tgenre\t{parses}\tsentence1\tsentence2"
    middle = "\t".join(["x"] * 8)
    train = f"{long}\tlabel1\tgold_label\n{middle}\tp\th\tneutral\tneutral\n{middle}\tp\ti\tneutral\tcontradiction\n"
    votes = "\t".join(f"label{number}" for number in range(1, 6))
    dev = f"{long}\t{votes}\tgold_label\n{middle}\tp\th\t" + "\t".join(["neutral"] * 5) + "\tentailment\n"
    files = {"train.tsv": train, "dev_matched.tsv": dev, "dev_mismatched.tsv": dev + dev.splitlines()[1] + "\n"}
    read = load_dataset(option("mnli"), write_files(tmp_path / "glue_data" / "MNLI", files) and str(tmp_path))
    assert read.classes == ("entailment", "neutral", "contradiction") and read.train.label.tolist() == [1, 2]
    assert len(read.test) == 1 and len(read.splits[read.roles["mismatched"]]) == 2


def test_qqp_and_qnli_are_read_by_their_column_names(tmp_path: Path) -> None:
    qqp = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\twho ?\twhom ?\t1\n"
    qnli = "index\tquestion\tsentence\tlabel\n0\twho ?\tme .\tnot_entailment\n"
    files = {
        f"glue_data/{task}/{name}.tsv": content
        for task, content in (("QQP", qqp), ("QNLI", qnli))
        for name in ("train", "dev")
    }
    root = write_files(tmp_path, files)
    for name, second in (("qqp", "whom ?"), ("qnli", "me .")):
        split = load_dataset(option(name), root).train
        assert (split.text.to_pylist(), second_texts(split), split.label.tolist()) == (["who ?"], [second], [1])


def test_a_file_a_class_keeps_empty_lines(tmp_path: Path) -> None:
    root = write_files(tmp_path, {"senteval/CR/custrev.pos": "good\n\nfine\n", "senteval/CR/custrev.neg": "bad\r\n\n"})
    read = load_dataset(option("cr"), root)
    assert read.train.text.to_pylist() == ["good", "", "fine", "bad", ""]
    assert [read.classes[label] for label in read.train.label] == ["positive"] * 3 + ["negative"] * 2
    assert read.train is read.test and read.test_in_train() == 0 and (read.selection, read.folds) == ("nested", 10)


def test_subj_trec_and_sst_are_read(tmp_path: Path) -> None:
    files: dict[str, Any] = {"SUBJ/subj.subjective": "i like it\n", "SUBJ/subj.objective": "it is\n"}
    files |= {
        f"TREC/{name}": b"ENTY:other What is \xf0 ?\nHUM:ind Who ?\n" for name in ("train_5500.label", "TREC_10.label")
    }
    files |= {f"SST/binary/sentiment-{name}": "fine film \t1\ndull \t0\n" for name in ("train", "dev", "test")}
    files |= {f"SST/fine/sentiment-{name}": "4 fine film\n0 dull\n" for name in ("train", "dev", "test")}
    root = write_files(tmp_path, {f"senteval/{name}": content for name, content in files.items()})
    subj, trec, binary, fine = (load_dataset(option(name), root) for name in ("subj", "trec", "sst_binary", "sst_fine"))
    assert [subj.classes[label] for label in subj.train.label] == ["objective", "subjective"]
    assert trec.train.text.to_pylist() == ["What is \u00f0 ?", "Who ?"] and [
        trec.classes[label] for label in trec.train.label
    ] == [
        "ENTY",
        "HUM",
    ]
    assert binary.train.text.to_pylist() == ["fine film ", "dull "] and binary.train.label.tolist() == [1, 0]
    assert fine.train.text.to_pylist() == ["fine film", "dull"] and fine.train.label.tolist() == [4, 0]


def test_banking77_has_all_rows_of_its_quoted_files(shared: Path) -> None:
    read = load_dataset(option("banking77"), str(shared / "data"))
    assert {name: len(split) for name, split in read.splits.items()} == {"train": 10003, "test": 3080}
    assert len(read.classes) == 77 and set(counts(read.test)) == {40}
    assert sum("\n" in text for text in read.train.text.to_pylist()) == 10
    check_probe(read)


def test_tweets_choose_on_their_validation_split(tmp_path: Path) -> None:
    files = {
        f"single/tweeteval/{task}/{name}_{kind}.txt": content
        for task in ("irony", "offensive")
        for name in ("train", "val", "test")
        for kind, content in (("text", "@user  hi \n\U0001f600\n"), ("labels", "1\n0\n"))
    }
    root = write_files(tmp_path, files)
    for name, headline, classes in (
        ("tweet_irony", "f1", ("non_irony", "irony")),
        ("tweet_offensive", "macro_f1", ("not-offensive", "offensive")),
    ):
        read = load_dataset(option(name), root)
        assert read.metrics[0] == headline and read.classes == classes and read.selection == "development"
        assert read.test.text.to_pylist() == ["@user  hi ", "\U0001f600"] and read.test.label.tolist() == [1, 0]
    (tmp_path / "single/tweeteval/irony/val_labels.txt").unlink()
    with pytest.raises(UserError, match=r"val_labels.txt .*data_root="):
        load_dataset(option("tweet_irony"), root)


def test_errors_of_the_official_layout_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data_root '.*nowhere' .*glue_data/"):
        load_dataset(option("cola"), str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"glue_data/CoLA/train.tsv .*data_root=.*\n.* train.tsv, dev.tsv"):
        load_dataset(option("cola"), str(tmp_path))
    root = write_files(tmp_path, {f"glue_data/CoLA/{name}.tsv": "a\t2\t\tText.\n" for name in ("train", "dev")})
    with pytest.raises(UserError, match=r"split 'train': row 1 .*'2'. .* 0, 1, unacceptable, acceptable."):
        load_dataset(option("cola"), root)
    with pytest.raises(UserError, match=r"'tets'.* 'test'"):
        load_dataset(option("cola", splits={"test": "tets"}), root)
    with pytest.raises(UserError, match=r"mr .*data_root=<folder holding senteval/>"):
        load_dataset(option("mr"), None)
    with pytest.raises(UserError, match=r"dataset.train .*dataset=files"):
        load_dataset(option("cola", train="mine.csv"), root)
    with pytest.raises(UserError, match=r"'csv'.* tsv"):
        load_dataset(option("cola", local={"format": "csv"}), root)
    with pytest.raises(UserError, match=r"dataset.text and dataset.label"):
        load_dataset(option("cola", text=None), root)
    config = replace(option("cola"), splits={"test": "validation"})
    with pytest.raises(UserError, match=r"dataset.splits.train"):
        load_dataset(config, root)


def test_a_split_with_hidden_labels_is_refused_as_test_and_left_out_otherwise(tmp_path: Path) -> None:
    root = write_files(
        tmp_path, {f"glue_data/SST-2/{name}.tsv": "sentence\tlabel\na\t1\nb\t0\n" for name in ("train", "dev")}
    )
    with pytest.raises(UserError) as caught:
        load_dataset(option("sst2", splits={"test": "test"}), root)
    assert all(part in str(caught.value) for part in ("sst2", "'test'", "dataset.splits.test to 'validation'"))
    assert set(load_dataset(option("sst2"), root).splits) == {"train", "validation"}
