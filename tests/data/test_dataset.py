"""Splits from the hub, from the official folders and from the user's files: the same rows, labels and refusals whatever the door."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from src.config.paths import CONF
from src.config.schema import DatasetConfig
from src.data import dataset as data
from src.errors import UserError
from src.runtime import hub

OPTIONS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
GLUE = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
SENTEVAL = {"mr", "cr", "subj", "mpqa", "trec", "sst_binary", "sst_fine", "sick_e", "sick_r"}
HEADLINES = {"cola": "mcc", "mrpc": "f1", "qqp": "f1", "stsb": "pearson", "sick_r": "pearson"}


def option(name: str, **changes: Any) -> DatasetConfig:
    """conf/dataset/NAME.yaml with the user's changes."""
    merged = OmegaConf.merge(
        OmegaConf.structured(DatasetConfig), OmegaConf.load(CONF / "dataset" / f"{name}.yaml"), changes
    )
    config = OmegaConf.to_object(merged)
    assert isinstance(config, DatasetConfig)
    return config


def write(folder: Path, files: Mapping[str, str | bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def split_of(rows: list[tuple[str, Any]], **options: Any) -> data.Split:
    pair = options.get("pair")
    texts = pa.array([text for text, _ in rows], pa.large_string())
    return data.Split(
        options.get("name", "train"),
        texts,
        None if pair is None else pa.array(pair, pa.large_string()),
        np.array([y for _, y in rows]),
    )


def counts(split: data.Split) -> list[int]:
    return [int(count) for count in np.bincount(split.label)]


def pairs(split: data.Split) -> list[str]:
    assert split.text_pair is not None
    return list(split.text_pair.to_pylist())


# The options --------------------------------------------------------------------------------------------------------------------------


def test_every_dataset_of_the_design_has_its_file() -> None:
    assert set(OPTIONS) >= GLUE | SENTEVAL | {"files"}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_composes_and_is_consistent(name: str) -> None:
    config = option(name)
    assert config.name == name
    if name not in GLUE | SENTEVAL:
        return
    assert config.metrics[0] == HEADLINES.get(name, "accuracy")
    assert (config.task == "regression") == (config.classes is None)
    assert config.local is not None and config.citation
    assert {"train", "test"} <= set(config.splits) and set(config.splits.values()) <= set(config.local.files)
    assert (config.selection == "development") == ("development" in config.splits)
    assert (config.selection == "nested") == (config.splits["train"] == config.splits["test"])
    assert set((config.labels or {}).values()) <= set(config.classes or ())
    assert (config.hub.path == "nyu-mll/glue" and len(config.hub.revision) == 40) == (name in GLUE)


# The official files, in full ----------------------------------------------------------------------------------------------------------

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
    "sick_e": {"train": [665, 2536, 1299], "validation": [74, 282, 144], "test": [720, 2793, 1414]},
}


@pytest.mark.parametrize("name", FULL)
def test_label_counts_of_the_official_files(shared: Path, name: str) -> None:
    read = data.load(option(name), str(shared / "data"))
    assert {split: counts(rows) for split, rows in read.splits.items()} == FULL[name]
    data.check_probe(read)


@pytest.mark.parametrize(
    ("name", "sizes", "means"),
    [("stsb", (5749, 1500), (2.70, 2.36)), ("sick_r", (4500, 500, 4927), (3.52, 3.59, 3.53))],
)
def test_scores_of_the_official_files(
    shared: Path, name: str, sizes: tuple[int, ...], means: tuple[float, ...]
) -> None:
    read = data.load(option(name), str(shared / "data"))
    assert tuple(len(split) for split in read.splits.values()) == sizes
    assert [split.label.mean() for split in read.splits.values()] == pytest.approx(means, abs=0.006)
    low, high = (0, 5) if name == "stsb" else (1, 5)
    assert all(
        split.label.dtype == np.float64 and split.label.min() >= low and split.label.max() <= high
        for split in read.splits.values()
    )
    data.check_probe(read)


def test_qnli_without_its_training_file(shared: Path) -> None:
    with pytest.raises(UserError, match=r"qnli: there is no glue_data/QNLI/train.tsv in data_root="):
        data.load(option("qnli"), str(shared / "data"))
    read = data.load(option("qnli", splits={"train": "validation"}), str(shared / "data"))
    assert {name: counts(split) for name, split in read.splits.items()} == {"validation": [2702, 2761]}


def test_known_overlaps_and_oddities_of_the_official_files(shared: Path) -> None:
    root = str(shared / "data")
    cola = data.load(option("cola"), root)
    assert cola.test_in_train() == 16
    sst2 = data.load(option("sst2"), root)
    assert sst2.test_in_train() == 0
    assert len(sst2.train) - len(np.unique(sst2.train.row_digests())) == 371
    cr, mpqa = (data.load(option(name), root) for name in ("cr", "mpqa"))
    assert [cr.train.text.to_pylist().count(""), mpqa.train.text.to_pylist().count("")] == [4, 3]
    sick = data.load(option("sick_e"), root)
    assert not any(text.endswith("\r") for text in pairs(sick.test))
    quoted = {"mrpc": 455, "rte": 70, "stsb": 124}
    for name, expected in quoted.items():
        split = data.load(option(name), root).train
        both = zip(split.text.to_pylist(), pairs(split), strict=True)
        assert sum(first.startswith('"') or second.startswith('"') for first, second in both) == expected


def test_cola_has_no_header_and_no_last_newline(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "glue_data/CoLA/train.tsv": "gj04\t1\t\tGood.\nks08\t0\t*\tBad is.\n",
            "glue_data/CoLA/dev.tsv": "gj04\t0\t*\tNo newline is",
        },
    )
    read = data.load(option("cola"), root)
    assert read.train.text.to_pylist() == ["Good.", "Bad is."] and read.train.label.tolist() == [1, 0]
    assert read.test.text.to_pylist() == ["No newline is"] and read.classes == ("unacceptable", "acceptable")
    assert read.source["from"] == "folder" and set(read.source["files"]) == {"train.tsv", "dev.tsv"}
    assert str(tmp_path) not in json.dumps(read.source)


def test_mrpc_has_a_byte_order_mark_and_quotes_that_are_characters(tmp_path: Path) -> None:
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = '1\t1\t2\t" He said .\tHe said " no .\n0\t3\t4\tA "b" c\t"d"\n'
    read = data.load(
        option("mrpc"), write(tmp_path, {f"glue_data/MRPC/{name}.tsv": header + rows for name in ("train", "dev")})
    )
    assert read.train.text.to_pylist() == ['" He said .', 'A "b" c']
    assert pairs(read.train) == ['He said " no .', '"d"']
    assert read.test_in_train() == 2


def test_texts_are_not_stripped(tmp_path: Path) -> None:
    content = "sentence\tlabel\na fine film \t1\ndull\t0\n"
    read = data.load(
        option("sst2"), write(tmp_path, {"glue_data/SST-2/train.tsv": content, "glue_data/SST-2/dev.tsv": content})
    )
    assert read.train.text.to_pylist() == ["a fine film ", "dull"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "labels"), [("sick_e", [1, 0]), ("sick_r", [4.5, 1.0])])
def test_sick_line_ends(tmp_path: Path, name: str, labels: list[float], end: str) -> None:
    lines = [
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment",
        "1\ta\tb\t4.5\tNEUTRAL",
        "2\tc\td\t1\tCONTRADICTION",
        "",
    ]
    files = ("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt")
    read = data.load(option(name), write(tmp_path, {f"senteval/SICK/{file}": end.join(lines) for file in files}))
    assert read.test.label.tolist() == labels and pairs(read.test) == ["b", "d"]
    assert read.roles == {"train": "train", "development": "validation", "test": "test"}


def test_mnli_is_scored_on_both_validation_sets(tmp_path: Path) -> None:
    parses = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    long = f"index\tpromptID\tpairID\tgenre\t{parses}\tsentence1\tsentence2"
    middle = "\t".join(["x"] * 8)
    train = f"{long}\tlabel1\tgold_label\n{middle}\tp\th\tneutral\tneutral\n{middle}\tp\ti\tneutral\tcontradiction\n"
    votes = "\t".join(f"label{number}" for number in range(1, 6))
    dev = f"{long}\t{votes}\tgold_label\n{middle}\tp\th\t" + "\t".join(["neutral"] * 5) + "\tentailment\n"
    files = {"train.tsv": train, "dev_matched.tsv": dev, "dev_mismatched.tsv": dev + dev.splitlines()[1] + "\n"}
    read = data.load(option("mnli"), write(tmp_path / "glue_data" / "MNLI", files) and str(tmp_path))
    assert read.classes == ("entailment", "neutral", "contradiction") and read.train.label.tolist() == [1, 2]
    assert len(read.test) == 1 and len(read.splits[read.roles["mismatched"]]) == 2


def test_qqp_and_qnli_columns(tmp_path: Path) -> None:
    qqp = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\twho ?\twhom ?\t1\n"
    qnli = "index\tquestion\tsentence\tlabel\n0\twho ?\tme .\tnot_entailment\n"
    files = {
        f"glue_data/{task}/{name}.tsv": content
        for task, content in (("QQP", qqp), ("QNLI", qnli))
        for name in ("train", "dev")
    }
    root = write(tmp_path, files)
    for name, second in (("qqp", "whom ?"), ("qnli", "me .")):
        split = data.load(option(name), root).train
        assert (split.text.to_pylist(), pairs(split), split.label.tolist()) == (["who ?"], [second], [1])


def test_a_sentence_file_a_class_counts_empty_lines(tmp_path: Path) -> None:
    root = write(tmp_path, {"senteval/CR/custrev.pos": "good\n\nfine\n", "senteval/CR/custrev.neg": "bad\r\n\n"})
    read = data.load(option("cr"), root)
    assert read.train.text.to_pylist() == ["good", "", "fine", "bad", ""]
    assert [read.classes[label] for label in read.train.label] == ["positive"] * 3 + ["negative"] * 2
    assert read.train is read.test and read.test_in_train() == 0 and (read.selection, read.folds) == ("nested", 10)


def test_subj_and_trec_and_sst_layouts(tmp_path: Path) -> None:
    files: dict[str, Any] = {"SUBJ/subj.subjective": "i like it\n", "SUBJ/subj.objective": "it is\n"}
    files |= {
        f"TREC/{name}": b"ENTY:other What is \xf0 ?\nHUM:ind Who ?\n" for name in ("train_5500.label", "TREC_10.label")
    }
    files |= {f"SST/binary/sentiment-{name}": "fine film \t1\ndull \t0\n" for name in ("train", "dev", "test")}
    files |= {f"SST/fine/sentiment-{name}": "4 fine film\n0 dull\n" for name in ("train", "dev", "test")}
    root = write(tmp_path, {f"senteval/{name}": content for name, content in files.items()})
    subj, trec, binary, fine = (data.load(option(name), root) for name in ("subj", "trec", "sst_binary", "sst_fine"))
    assert [subj.classes[label] for label in subj.train.label] == ["objective", "subjective"]
    assert trec.train.text.to_pylist() == ["What is \u00f0 ?", "Who ?"] and [
        trec.classes[label] for label in trec.train.label
    ] == [
        "ENTY",
        "HUM",
    ]
    assert binary.train.text.to_pylist() == ["fine film ", "dull "] and binary.train.label.tolist() == [1, 0]
    assert fine.train.text.to_pylist() == ["fine film", "dull"] and fine.train.label.tolist() == [4, 0]


def test_refusals_of_the_official_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data_root '.*nowhere' is no folder. It holds glue_data/"):
        data.load(option("cola"), str(tmp_path / "nowhere"))
    with pytest.raises(
        UserError, match=r"there is no glue_data/CoLA/train.tsv in data_root=.*\n.*: train.tsv, dev.tsv\."
    ):
        data.load(option("cola"), str(tmp_path))
    root = write(tmp_path, {f"glue_data/CoLA/{name}.tsv": "a\t2\t\tText.\n" for name in ("train", "dev")})
    with pytest.raises(
        UserError, match=r"split 'train': row 1 has the label '2'. Known are 0, 1, unacceptable, acceptable."
    ):
        data.load(option("cola"), root)
    with pytest.raises(UserError, match="unknown split 'tets'; did you mean 'test'"):
        data.load(option("cola", splits={"test": "tets"}), root)
    with pytest.raises(UserError, match="mr is not on the hub: give data_root=<folder holding senteval/>"):
        data.load(option("mr"), None)
    with pytest.raises(UserError, match=r"dataset.train is for your own files"):
        data.load(option("cola", train="mine.csv"), root)
    with pytest.raises(UserError, match="unknown format 'csv'"):
        data.load(option("cola", local={"format": "csv"}), root)
    with pytest.raises(UserError, match=r"dataset.text and dataset.label"):
        data.load(option("cola", text=None), root)
    config = option("cola")
    config.splits = {"test": "validation"}
    with pytest.raises(UserError, match=r"dataset.splits.train is not set"):
        data.load(config, root)


def test_hidden_labels_of_the_folder(tmp_path: Path) -> None:
    root = write(
        tmp_path, {f"glue_data/SST-2/{name}.tsv": "sentence\tlabel\na\t1\nb\t0\n" for name in ("train", "dev")}
    )
    with pytest.raises(UserError) as caught:
        data.load(option("sst2", splits={"test": "test"}), root)
    assert str(caught.value) == "sst2: split 'test' hides its labels (all -1). Set dataset.splits.test to 'validation'."
    assert set(data.load(option("sst2"), root).splits) == {"train", "validation"}


# The hub ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Stand in for the hub: `on_the_hub(features, train=rows, ...)`; the list returned fills with what was asked for."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: True)

    def install(features: dict[str, Any], **splits: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
        asked: list[tuple[Any, ...]] = []
        info = datasets.DatasetInfo(features=datasets.Features(features))
        info.download_checksums = {
            f"hf://datasets/a/b@{'0123abcd' * 5}/x/train-00000-of-00001.parquet": {"num_bytes": 1, "checksum": None}
        }

        def load_dataset(*arguments: Any, **options: Any) -> Any:
            asked.append((*arguments, options))
            return datasets.DatasetDict(
                {name: datasets.Dataset.from_dict(rows, info=info) for name, rows in splits.items()}
            )

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return install


def test_the_hub_gives_what_the_folder_gives(on_the_hub: Callable[..., list[tuple[Any, ...]]], tmp_path: Path) -> None:
    from datasets import ClassLabel, Value

    rows = {"sentence1": ["a", '"b'], "sentence2": ["c ", "d"], "label": [1, 0]}
    hidden = {"sentence1": ["x"], "sentence2": ["y"], "label": [-1]}
    features = {
        "sentence1": Value("string"),
        "sentence2": Value("string"),
        "label": ClassLabel(names=["entailment", "not_entailment"]),
    }
    asked = on_the_hub(features, train=rows, validation=rows, test=hidden)
    content = 'index\tsentence1\tsentence2\tlabel\n0\ta\tc \tnot_entailment\n1\t"b\td\tentailment\n'
    root = write(tmp_path, {f"glue_data/RTE/{name}.tsv": content for name in ("train", "dev")})
    here, there = data.load(option("rte"), root), data.load(option("rte"), None)
    assert set(here.splits) == set(there.splits) and here.classes == there.classes
    for name, split in here.splits.items():
        other = there.splits[name]
        assert (split.text_digest, split.text_pair_digest, split.label.tolist()) == (
            other.text_digest,
            other.text_pair_digest,
            other.label.tolist(),
        )
    assert asked == [("nyu-mll/glue", "rte", {"revision": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"})]
    assert there.source == {"from": "hub", "path": "nyu-mll/glue", "revision": "0123abcd" * 5, "files": {}}
    with pytest.raises(
        UserError, match=r"split 'test' hides its labels \(all -1\). Set dataset.splits.test to 'validation'."
    ):
        data.load(option("rte", splits={"test": "test"}), None)


def test_class_ids_follow_the_names_not_the_hub_order(on_the_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import ClassLabel, Value

    rows = {"sentence": ["a", "b"], "label": [0, 1]}
    on_the_hub(
        {"sentence": Value("string"), "label": ClassLabel(names=["positive", "negative"])}, train=rows, validation=rows
    )
    assert data.load(option("sst2"), None).train.label.tolist() == [1, 0]


def test_scores_of_the_hub_are_those_of_the_folder(on_the_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import Value

    rows = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [3.8, 5.0]}
    unlabelled = {**rows, "label": [-1.0, -1.0]}
    features = {"sentence1": Value("string"), "sentence2": Value("string"), "label": Value("float32")}
    on_the_hub(features, train=rows, validation=rows, test=unlabelled)
    read = data.load(option("stsb"), None)
    assert read.train.label.tolist() == [3.8, 5.0], "float32 on the hub, decimal in the file: the same score"
    assert set(read.splits) == {"train", "validation"}


def test_a_hub_split_without_a_label_column_is_hidden_and_a_missing_text_column_is_named(
    on_the_hub: Callable[..., list[tuple[Any, ...]]],
) -> None:
    from datasets import Value

    on_the_hub({"sentence": Value("string")}, train={"sentence": ["a"]})
    with pytest.raises(UserError, match=r"split 'train' hides its labels .* 'a split with labels'"):
        data.load(option("sst2", splits={"test": "train"}), None)
    on_the_hub({"text": Value("string"), "label": Value("int64")}, train={"text": ["a"], "label": [0]})
    with pytest.raises(UserError, match=r"has no column 'sentence'. There are: text, label"):
        data.load(option("sst2", splits={"test": "train"}), None)


def test_a_folder_of_the_same_name_is_not_taken_for_the_hub(
    on_the_hub: Callable[..., list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    from datasets import Value

    asked = on_the_hub(
        {"sentence": Value("string"), "label": Value("int64")}, train={"sentence": ["a", "b"], "label": [0, 1]}
    )
    (tmp_path / "glue").mkdir()
    data.load(option("sst2", splits={"test": "train"}), None)
    assert len(asked) == 1
    (tmp_path / "nyu-mll" / "glue").mkdir(parents=True)
    with pytest.raises(UserError, match="the folder 'nyu-mll/glue' here hides the hub's dataset"):
        data.load(option("sst2"), None)


@pytest.mark.parametrize(
    ("online", "message"),
    [(False, "cannot reach the hub and 'nyu-mll/glue' is not in its cache"), (True, "cannot load .*: broken")],
)
def test_a_hub_that_fails_names_data_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, online: bool, message: str
) -> None:
    import datasets

    def fail(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("broken")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: online)
    with pytest.raises(UserError, match=f"(?s)cola: {message}.*Give data_root=<folder holding glue_data/>."):
        data.load(option("cola"), None)


# The user's own files -----------------------------------------------------------------------------------------------------------------

ROWS = [("one", "b"), ("", "a"), ("three, three", "b"), ("caf\u00e9", "a")]


def own(folder: Path, extension: str, rows: list[tuple[str, Any]], name: str = "rows") -> str:
    path = folder / f"{name}{extension}"
    if extension == ".parquet":
        pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), path)
    elif extension in (".csv", ".tsv"):
        mark = '"' if extension == ".csv" else ""
        lines = [f"{mark}{text}{mark}{',' if mark else chr(9)}{label}" for text, label in rows]
        path.write_text("\n".join([f"text{',' if mark else chr(9)}label", *lines]) + "\n", encoding="utf-8")
    else:
        path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows), encoding="utf-8")
    return str(path)


def test_one_content_in_every_format_is_one_dataset(tmp_path: Path) -> None:
    digests = set()
    for extension in data.EXTENSIONS:
        path = own(tmp_path, extension, ROWS)
        read = data.load(option("files", train=path, test=path), "ignored: no official layout")
        digests.add((read.train.text_digest, tuple(read.train.label), read.classes, read.metrics, read.selection))
        assert read.source["files"].keys() == {f"train/rows{extension}", f"test/rows{extension}"} and str(
            tmp_path
        ) not in json.dumps(read.source)
    assert digests == {(read.train.text_digest, (1, 0, 1, 0), ("a", "b"), ("accuracy", "f1", "mcc"), "carve")}
    upper = own(tmp_path, ".CSV".lower(), ROWS, name="UPPER")
    Path(upper).rename(tmp_path / "UPPER.CSV")
    assert len(data.load(option("files", train=str(tmp_path / "UPPER.CSV"), test=path), None).train) == 4


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet"])
def test_numbers_as_labels_sort_by_value(tmp_path: Path, extension: str) -> None:
    path = own(tmp_path, extension, [("a", 10), ("b", 2), ("c", -1), ("d", 2)])
    read = data.load(option("files", train=path, test=path), None)
    assert (
        read.classes == ("-1", "2", "10")
        and read.train.label.tolist() == [2, 1, 0, 1]
        and read.metrics == ("accuracy",)
    )


def test_a_validation_file_becomes_the_development_split(tmp_path: Path) -> None:
    path = own(tmp_path, ".csv", ROWS)
    read = data.load(option("files", train=path, validation=path, test=path, metric="mcc"), None)
    assert read.roles == {"train": "train", "development": "validation", "test": "test"}
    assert read.selection == "development" and read.metrics == ("mcc", "accuracy", "f1")


def test_pairs_and_scores(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": "y", "s": 1.5}, {"a": "z", "b": "", "s": "2"}]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    read = data.load(
        option("files", train=str(path), test=str(path), text="a", text_pair="b", label="s", task="regression"), None
    )
    assert pairs(read.train) == ["y", ""]
    assert read.train.label.tolist() == [1.5, 2.0] and read.classes == () and read.metrics == ("pearson", "spearman")


def test_paths_are_relative_to_the_current_folder_or_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, ".csv", ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(data.load(option("files", train="rows.csv", test="~/rows.csv"), None).test) == 4


@pytest.mark.parametrize(
    ("content", "task", "message"),
    [
        ("text,label\na,0\nb,\n", "classification", "row 2 has no label"),
        ("text,label\na,0\nb, \n", "regression", "row 2 has no label"),
        ("text,label\na,0\nb,NaN\n", "classification", "row 2 has the label 'NaN', which is no class"),
        ("text,label\na,0\nb,inf\n", "classification", "row 2 has the label 'inf', which is no class"),
        ("text,label\na,0\nb,nan\n", "regression", "row 2 has the label 'nan', which is no finite number"),
        ("text,label\na,0\nb,-inf\n", "regression", "row 2 has the label '-inf', which is no finite number"),
        ("text,label\na,0\nb,high\n", "regression", "row 2 has the label 'high', which is no finite number"),
        ("text,label\na,0\nb,-1e300\n", "regression", "row 2 has the label '-1e300', whose size is above 1e\\+30"),
        (
            f"text,label\na,0\nb,{'high' * 50}\n",
            "regression",
            "row 2 has the label '(high){14}h\\.\\.\\.', which is no finite number",
        ),
        ("text,label\n", "classification", "has no rows"),
        ("text,class\na,0\n", "classification", "no column 'label'. There are: text, class"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, content: str, task: str, message: str) -> None:
    path = write(tmp_path, {"bad.csv": content}) + "/bad.csv"
    with pytest.raises(UserError, match=f"bad.csv'.*{message}"):
        data.load(option("files", train=path, test=path, task=task), None)


def test_missing_cells_of_parquet_and_json(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None], "label": [1.0, 0.0]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1.0, None]}), tmp_path / "label.parquet")
    write(
        tmp_path,
        {
            "text.jsonl": '{"text": "a", "label": 1}\n{"text": null, "label": 0}\n',
            "label.jsonl": '{"text": "a", "label": 1}\n{"text": "b"}\n',
        },
    )
    for extension in ("parquet", "jsonl"):
        for column, message in (("text", "row 2 has no text"), ("label", "row 2 has no label")):
            path = str(tmp_path / f"{column}.{extension}")
            with pytest.raises(UserError, match=message):
                data.load(option("files", train=path, test=path), None)


def test_a_word_that_other_readers_take_for_nothing_is_a_label(tmp_path: Path) -> None:
    path = own(tmp_path, ".csv", [("a", "NA"), ("null", "None"), ("NA", "null")])
    read = data.load(option("files", train=path, test=path), None)
    assert read.classes == ("NA", "None", "null") and read.train.text.to_pylist() == ["a", "null", "NA"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": None}, "no training file"),
        ({"test": None, "selection": "development"}, "which is not given"),
        ({"selection": "nested"}, "Give dataset.train alone"),
        ({"test_fraction": 0.5}, "give either dataset.test=<file> or dataset.test_fraction"),
        ({"test": None, "test_fraction": 1.0}, "is a share between 0 and 1, got 1.0"),
        ({"group": "g", "validation": "rows.csv"}, "dataset.group keeps rows together where train is divided"),
        ({"group": "g"}, "no column 'g'"),
        ({"train": "rows.xlsx"}, "'rows.xlsx' ends in '.xlsx'. Known are .csv"),
        ({"train": "rows"}, "'rows' ends in ''. Known are .csv"),
        ({"train": "none.csv"}, "there is no file 'none.csv'"),
        ({"label": None}, "dataset.text and dataset.label"),
    ],
)
def test_refused_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    own(tmp_path, ".csv", ROWS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        data.load(option("files", **{"train": "rows.csv", "test": "rows.csv", **changes}), None)


def test_hidden_labels_of_a_file(tmp_path: Path) -> None:
    train, test = own(tmp_path, ".csv", ROWS), own(tmp_path, ".csv", [("a", -1), ("b", -1)], name="test")
    with pytest.raises(
        UserError, match=r"split 'test' hides its labels \(all -1\). Give a file with labels in dataset.test"
    ):
        data.load(option("files", train=train, test=test), None)
    signs = own(tmp_path, ".csv", [("a", -1), ("b", 1)], name="signs")
    assert data.load(option("files", train=signs, test=test), None).test.label.tolist() == [0, 0]


# One label, whatever its spelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "1.0", "1e0", "+1", " 1 ", "1.", "10e-1"], ["1"] * 7),
        (["0", "-0", "0.0", "-0.0", "0e5"], ["0"] * 5),
        (["0.5", ".5", "0.50", "5e-1"], ["0.5"] * 4),
        (["01", "1", "001", "1_000", "1000"], ["01", "1", "001", "1_000", "1000"]),
        (["\u0661", "\uff11", "1"], ["\u0661", "\uff11", "1"]),
        (["TRUE", "True", "true", "\u00a0False", "false"], ["true", "true", "true", "false", "false"]),
        (
            ["9007199254740992", "9007199254740993", "9007199254740993.0"],
            ["9007199254740992", *["9007199254740993"] * 2],
        ),
        (["1" * 30, "1" * 29 + "2"], ["1" * 30, "1" * 29 + "2"]),
        (["1.0", "one", "1st", "1"], ["1", "one", "1st", "1"]),
        (["yes", " yes", "Yes"], ["yes", "yes", "Yes"]),
    ],
)
@pytest.mark.parametrize("extension", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_label_is_its_value_in_every_reader(
    tmp_path: Path, extension: str, labels: list[str], classes: list[str]
) -> None:
    path = own(tmp_path, extension, [(f"text {row}", label) for row, label in enumerate(labels)])
    read = data.load(option("files", train=path, test=path), None)
    assert [read.classes[label] for label in read.train.label] == classes


@pytest.mark.parametrize("test", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("train", [".csv", ".jsonl", ".parquet"])
def test_train_and_test_of_different_kinds_have_the_same_classes(tmp_path: Path, train: str, test: str) -> None:
    for written, classes in (
        (([1.0, 0.0], [0, 1]), ("0", "1")),
        (([True, False], ["FALSE", "True"]), ("false", "true")),
    ):
        files = [
            own(tmp_path, extension, [("a", first), ("b", second)], name=name)
            for extension, (first, second), name in zip((train, test), written, ("train", "test"), strict=True)
        ]
        read = data.load(option("files", train=files[0], test=files[1]), None)
        assert (read.classes, read.train.label.tolist(), read.test.label.tolist()) == (classes, [1, 0], [0, 1])


def test_labels_that_numpy_and_databases_write_are_those_of_a_csv(tmp_path: Path) -> None:
    texts = own(tmp_path, ".csv", [("a", "0.1"), ("b", "1")], name="texts")
    for column in (
        pa.array([0.1, 1], pa.float32()),
        pa.array([0.1, 1], pa.float16()),
        pa.array([Decimal("0.10"), Decimal("1.00")]),
    ):
        pq.write_table(pa.table({"text": ["a", "b"], "label": column}), tmp_path / "a.parquet")
        read = data.load(option("files", train=str(tmp_path / "a.parquet"), test=texts), None)
        assert read.classes == ("0.1", "1") and read.test.label.tolist() == [0, 1]


def test_the_hub_spells_labels_as_files_do(on_the_hub: Callable[..., list[tuple[Any, ...]]]) -> None:
    from datasets import Value

    features = {"sentence ": Value("string"), "label": Value("string")}
    rows = {"sentence ": ["a", "b", "c"], "label": ["1.0", " 0", "1"]}
    on_the_hub(features, train=rows, validation=rows)
    read = data.load(option("sst2"), None)
    assert read.classes == ("negative", "positive") and read.train.label.tolist() == [1, 0, 1]


def test_classes_and_labels_of_the_configuration_are_matched_by_value_and_keep_their_spelling(tmp_path: Path) -> None:
    path = own(tmp_path, ".csv", [("a", "1.0"), ("b", "TRUE"), ("c", "x")])
    read = data.load(option("files", train=path, test=path, classes=["x", "True", "one"], labels={"1": "one"}), None)
    assert read.classes == ("x", "True", "one") and read.train.label.tolist() == [2, 1, 0]
    codes = own(tmp_path, ".csv", [("a", "1.1"), ("b", "1.10")])
    assert data.load(option("files", train=codes, test=codes), None).classes == ("1.1",)
    apart = data.load(option("files", train=codes, test=codes, classes=["1.1", "1.10"]), None)
    assert apart.train.label.tolist() == [0, 1], "codes that are written alike by value are told apart by name"


def test_scores_are_plain_decimal_numbers(tmp_path: Path) -> None:
    path = own(tmp_path, ".csv", [("a", " .5"), ("b", "+2"), ("c", "1e1"), ("d", "007."), ("e", "-0")])
    read = data.load(option("files", train=path, test=path, task="regression"), None)
    assert read.train.label.tolist() == [0.5, 2.0, 10.0, 7.0, 0.0]
    for bad in ("1_0", "\u0661", "0x10", "3,5", "1e400", "true", "9" * 400):
        path = own(tmp_path, ".tsv", [("a", "1"), ("b", bad)])
        with pytest.raises(UserError, match=r"row 2 has the label .*no finite number"):
            data.load(option("files", train=path, test=path, task="regression"), None)
    pq.write_table(pa.table({"text": ["a", "b"], "label": [Decimal("0.25"), Decimal("3.00")]}), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    assert data.load(option("files", train=path, test=path, task="regression"), None).train.label.tolist() == [
        0.25,
        3.0,
    ]


def test_a_label_that_train_lacks_is_shown_beside_those_that_it_has() -> None:
    splits = {"train": labelled([0, 1] * 9), "test": labelled([0, 2], "test")}
    with pytest.raises(UserError) as caught:
        data.check_probe(made(splits))
    assert all(f"'{name}'" in str(caught.value) for name in ("no", "yes", "rare"))


def test_paths_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    for path in ("~nobody-of-that-name/rows.csv", "nul\0.csv", "long" * 2000 + ".csv"):
        with pytest.raises(UserError):
            data.load(option("files", train=path, test=path), None)
    with pytest.raises(UserError, match=r"(?s)'.gz'.*Unpack it"):
        data.load(option("files", train="rows.csv.gz", test="rows.csv"), None)


# The split by test_fraction -----------------------------------------------------------------------------------------------------------


def halves(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> data.Dataset:
    path = folder / "whole.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return data.load(
        option("files", train=str(path), test_fraction=changes.pop("test_fraction", 0.25), **changes), None
    )


def test_a_fraction_is_stratified_complete_and_blind_to_the_order(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": "rare" if number % 10 == 0 else "common"} for number in range(1000)]
    read = halves(tmp_path, rows)
    assert (counts(read.train), counts(read.test)) == ([675, 75], [225, 25])
    assert sorted(read.train.text.to_pylist() + read.test.text.to_pylist()) == sorted(row["text"] for row in rows)
    assert read.test_in_train() == 0
    again = halves(tmp_path, rows[::-1])
    assert set(again.test.text.to_pylist()) == set(read.test.text.to_pylist())
    labels = {row["text"]: row["label"] for row in rows}
    assert [read.classes[label] for label in read.test.label] == [labels[text] for text in read.test.text.to_pylist()]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_groups_and_duplicates_stay_on_one_side_and_shares_hold(tmp_path: Path, fraction: float) -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "text": f"text {number if number % 5 else number // 50}",
            "label": int(random.integers(3)),
            "g": f"group {random.integers(200)}",
        }
        for number in range(2000)
    ]
    # Chains of duplicates through groups would tie everything together; keep duplicates inside one group.
    home = {row["text"]: row["g"] for row in rows}
    rows = [{**row, "g": home[row["text"]]} for row in rows]
    read = halves(tmp_path, rows, group="g", test_fraction=fraction)
    sides = [{home[text] for text in split.text.to_pylist()} for split in (read.train, read.test)]
    assert not sides[0] & sides[1] and read.test_in_train() == 0
    shares = np.bincount(read.test.label) / (np.bincount(read.test.label) + np.bincount(read.train.label))
    assert np.abs(shares - fraction).max() < 0.03


def test_duplicates_chain_groups_together(tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": label, "g": group}
        for text, label, group in [("a", 0, "1"), ("b", 1, "1"), ("b", 1, "2"), ("c", 0, "2")]
    ]
    rows += [{"text": f"other {number}", "label": number % 2, "g": f"g{number}"} for number in range(20)]
    read = halves(tmp_path, rows, group="g", test_fraction=0.3)
    in_test = {"a", "b", "c"} & set(read.test.text.to_pylist())
    assert in_test in (set(), {"a", "b", "c"})


def test_pairs_are_duplicates_only_when_both_texts_are(tmp_path: Path) -> None:
    rows = [{"text": "same", "pair": f"other {number}", "label": number % 2} for number in range(40)]
    read = halves(tmp_path, rows, text_pair="pair")
    assert (counts(read.train), counts(read.test)) == ([15, 15], [5, 5])


def test_many_small_classes_still_give_the_fraction_and_train_keeps_one_of_each(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": f"class {number // 2}"} for number in range(100)]
    read = halves(tmp_path, rows, test_fraction=0.2)
    assert len(read.test) == 20 and len(np.unique(read.train.label)) == 50


def test_regression_is_split_by_size_alone(tmp_path: Path) -> None:
    read = halves(
        tmp_path, [{"text": f"text {number}", "label": number / 7} for number in range(40)], task="regression"
    )
    assert len(read.test) == 10 and read.train.label.dtype == np.float64
    assert all(
        label == pytest.approx(int(text.split()[1]) / 7)
        for text, label in zip(read.test.text.to_pylist(), read.test.label, strict=True)
    )


def test_a_group_is_kept_together_in_train_too_and_enters_the_identity(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 2, "g": f"g{number % 13}"} for number in range(60)]
    path = write(tmp_path, {"rows.jsonl": "\n".join(map(json.dumps, rows))}) + "/rows.jsonl"
    plain, grouped = (data.load(option("files", train=path, test=path, **more), None) for more in ({}, {"group": "g"}))
    assert plain.group is None and np.array_equal(plain.together, plain.train.row_digests())
    home = [row["g"] for row in rows]
    assert len(set(zip(grouped.together.tolist(), home, strict=True))) == len(set(grouped.together.tolist())) == 13
    assert set(grouped.identity()) - set(plain.identity()) == {"group"}
    parted = halves(tmp_path, rows, group="g")
    assert len(parted.together) == len(parted.train) < 60
    home_of = {row["text"]: row["g"] for row in rows}
    pairs_of = {
        (number, home_of[text])
        for number, text in zip(parted.together.tolist(), parted.train.text.to_pylist(), strict=True)
    }
    assert len(pairs_of) == len(set(parted.together.tolist())) == len({group for _, group in pairs_of})
    data.check_probe(parted)


def test_a_side_that_would_be_empty_is_an_error(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 2, "g": "all"} for number in range(10)]
    with pytest.raises(UserError, match="leaves no test row: 10 rows form 1 units"):
        halves(tmp_path, rows, group="g")
    with pytest.raises(UserError, match="row 3 has no group in column 'g'"):
        halves(tmp_path, [*rows[:2], {**rows[2], "g": None}], group="g")


# Digests ------------------------------------------------------------------------------------------------------------------------------


def test_digests_see_rows_order_and_borders() -> None:
    base = split_of([("ab", 0), ("c", 1)])
    assert base.text_digest == split_of([("ab", 1), ("c", 0)]).text_digest
    others = [[("c", 0), ("ab", 0)], [("a", 0), ("bc", 0)], [("abc", 0)], [("ab", 0), ("c", 0), ("", 0)]]
    assert len({base.text_digest, *(split_of(rows).text_digest for rows in others)}) == 5
    assert (
        base.text_pair_digest is None
        and split_of([("ab", 0)], pair=["c"]).text_pair_digest == split_of([("c", 0)]).text_digest
    )


def test_a_slice_has_the_digests_of_its_rows() -> None:
    texts = pa.array(["", "long text", "x", "y"], pa.large_string())
    part = data.Split("part", texts.slice(1, 2), None, np.zeros(2))
    whole = split_of([("long text", 0), ("x", 0)])
    assert part.text_digest == whole.text_digest and part.row_digests().tolist() == whole.row_digests().tolist()
    empty = data.Split("empty", texts.slice(0, 0), None, np.zeros(0))
    assert len(empty) == 0 and empty.row_digests().tolist() == [] and len(empty.text_digest) == 64


def test_row_digests_tell_pairs_apart_and_know_equal_rows() -> None:
    both = split_of([("ab", 0), ("a", 0), ("ab", 0), ("abc", 0)], pair=["c", "bc", "c", ""])
    digests = both.row_digests()
    assert digests.dtype == np.uint64 and digests[0] == digests[2] and len(set(digests.tolist())) == 3


def test_test_rows_in_train_are_counted() -> None:
    splits = {"train": split_of([("a", 0), ("b", 1)]), "test": split_of([("b", 0), ("b", 1), ("c", 0)], name="test")}
    assert made(splits).test_in_train() == 2


# Can a probe be fitted? ---------------------------------------------------------------------------------------------------------------


def made(splits: dict[str, data.Split], **changes: Any) -> data.Dataset:
    fields: dict[str, Any] = {
        "name": "toy",
        "task": "classification",
        "classes": ("no", "yes", "rare"),
        "splits": splits,
        "roles": {name: name for name in splits},
    }
    fields |= {"selection": "carve", "folds": 10, "metrics": ("accuracy",), "source": {}} | changes
    return data.Dataset(**fields)


def labelled(labels: list[float], name: str = "train") -> data.Split:
    return split_of([(f"text {row}", label) for row, label in enumerate(labels)], name=name)


@pytest.mark.parametrize(
    ("train", "test", "changes", "message"),
    [
        ([0] * 9, [0], {}, "split 'train' has the one label 'no' in all of its 9 rows"),
        ([0, 1] * 9, [0, 2], {}, r"split 'test' \(test\) has the label 'rare', which split 'train' lacks"),
        (
            [0, 1, 1],
            [0],
            {},
            "split 'train': class 'no' has 1 training row; choosing the grid on a part of train needs 2.$",
        ),
        ([0, 1, 1], [0], {"classes": ("n" * 70, "yes")}, "class 'n{57}\\.\\.\\.' has 1 training row"),
        ([0] * 9, [0], {"classes": ("n" * 70, "yes")}, "has the one label 'n{57}\\.\\.\\.' in all"),
        ([0, 1] * 9, [0, 2], {"classes": ("no", "yes", "r" * 70)}, "has the label 'r{57}\\.\\.\\.', which split"),
        ([0, 1, 0, 1], [0], {}, "4 training rows, 4 of them distinct, are too few to hold 20% out"),
        (
            [0, 1] * 9,
            [0],
            {"selection": "development"},
            "dataset.selection=development needs dataset.splits.development",
        ),
        ([0, 1] * 9, [0], {"selection": "nested"}, "train is 'train', test is 'test', the selection is nested"),
        ([0, 1, 1], [0], {"classes": ("1.5", "2.5")}, "If the labels are scores, set dataset.task=regression"),
        ([0, 1] * 4, [0], {"selection": "folds"}, "8 rows hold 8 distinct training rows, fewer than the 10 folds"),
        (
            [0] * 20 + [1] * 9,
            [0],
            {"selection": "folds"},
            "class 'yes' has 9 distinct training rows, fewer than the 10 folds",
        ),
        ([2.5] * 9, [1.0], {"task": "regression", "classes": ()}, "has the one label '2.5' in all of its 9 rows"),
    ],
)
def test_data_that_no_probe_fits(train: list[float], test: list[float], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data.check_probe(made({"train": labelled(train), "test": labelled(test, "test")}, **changes))


@pytest.mark.parametrize(
    ("train", "changes"),
    [
        ([0, 0, 0, 1, 1, 1], {}),
        ([0, 1], {"selection": "development", "roles": {"train": "train", "development": "test", "test": "test"}}),
        ([0, 1] * 12, {"selection": "nested", "roles": {"train": "train", "test": "train"}}),
        (list(np.arange(30) / 7), {"task": "regression", "classes": ()}),
    ],
)
def test_data_that_a_probe_fits(train: list[float], changes: dict[str, Any]) -> None:
    data.check_probe(made({"train": labelled(train), "test": labelled(train, "test")}, **changes))


def test_a_test_label_that_train_lacks_is_read_but_not_fitted(tmp_path: Path) -> None:
    train = own(tmp_path, ".csv", [(text, "xy"[number % 2]) for number, text in enumerate("abcdef")])
    test = own(tmp_path, ".csv", [("a", "m"), ("b", "x")], name="test")
    read = data.load(option("files", train=train, test=test), None)
    assert read.classes == ("x", "y", "m") and read.test.label.tolist() == [2, 0]
    with pytest.raises(UserError, match="the label 'm', which split 'train' lacks"):
        data.check_probe(read)


def test_reading_data_needs_no_torch() -> None:
    import subprocess
    import sys

    heavy = ["torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "huggingface_hub"]
    code = f"import sys, src.data.dataset, src.runtime.hub; sys.exit(', '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CONF.parent)
    assert done.returncode == 0, done.stderr
