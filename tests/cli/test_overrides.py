"""Flags and overrides are checked before Hydra reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from src import extract, run
from src.cli.overrides import GROUPS, check_overrides
from tests.cli.refusals import Command, assert_refused

OPTIONS = {
    "pooling": "pooling=clss",
    "dataset": "dataset=rt",
    "model": "model=bert-base-uncase",
    "probe": "probe=logistc",
    "tracker": "tracker=wand",
    "runtime": "runtime=aut",
}


@pytest.mark.parametrize("group", GROUPS)
def test_an_unknown_option_names_the_nearest(run_main: Command, group: str) -> None:
    assert_refused(
        run_main(run.main, OPTIONS[group]),
        f"unknown {group} ",
        OPTIONS[group].partition("=")[2],
        "did you mean",
        "Known: ",
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        # Hydra's own refusals
        ("dataset.train=a=b", ["'dataset.train=a=b'", "quoted twice"]),
        ("dataset.train=a,b", ["'dataset.train=a,b'", "-m", "quoted twice"]),
        ('dataset.train="abc', ["dataset.train=", "quoted twice"]),
        ("dataset.train=[a", ["'dataset.train=[a'", "quoted twice"]),
        ("seed", ["'seed'", "key=value"]),
        ("=3", ["'=3'", "no key"]),
        ("~seed", ["'~seed'", "every run needs"]),
        ("~tracker", ["'~tracker'", "every run needs"]),
        ("tracker=null", ["'tracker=null'", "one of its options"]),
        ("hydra/launcher=nowhere", ["hydra/launcher", "'nowhere'", "basic"]),
        ("experiment=nope", ["experiment", "+experiment=nope"]),
        ("+experiment=nope", ["experiment", "'nope'"]),
        ("--config-dir nowhere", ["nowhere"]),
        ("--config-name nope", ["'nope'"]),
        ("--config-dir", ["--config-dir", "--help"]),
        ("--run -m", ["--multirun"]),
        ("-m pooling=cls,clss", ["unknown pooling 'clss'"]),
        ("-m seed=0,x", ["seed: a whole number", "'x'"]),
        # experiments that are sweeps, and keys below others
        ("+experiment=demo", ["+experiment=demo", "is a sweep", "-m"]),
        ("dataset.local.foo=3", ["dataset.local", "'foo'", "Known: ", "folder"]),
        ("dataset.local.folder=x", ["dataset.local.folder", "null"]),
        ("seed.foo=1", ["seed.foo", "whole number"]),
        ("dataset.metrics.foo=f1", ["dataset.metrics.foo", "a list"]),
        ("hydra.job.env_set.foo=1", ["'hydra.job.env_set.foo'", "is empty", "+hydra.job.env_set.foo="]),
        ("runtime.log=loud", ["runtime.log", "'loud'", "debug", "warning"]),
        # folders
        ("hydra.run.dir=/dev/null/x", ["'/dev/null/x'", "hydra.run.dir"]),
        ("hydra.run.dir=/proc/x", ["'/proc/x'", "hydra.run.dir"]),
        ("-m hydra.sweep.dir=/dev/null/x seed=0,1", ["'/dev/null/x'", "hydra.sweep.dir"]),
        ("runtime.cache_dir=/dev/null/x model.path=x", ["/dev/null/x", "runtime.cache_dir"]),
        ("runtime.cache_dir=/proc/x model.path=x", ["/proc/x", "runtime.cache_dir"]),
        ("tracker=none model=checkpoint", ["no model is named", "model.path"]),
    ],
)  # fmt: skip
def test_bad_overrides_are_refused(run_main: Command, no_forward_pass: None, words: str, named: list[str]) -> None:
    assert_refused(run_main(run.main, *words.split(" ")), *named)


@pytest.mark.parametrize("place", ["hydra.run.dir", "runtime.cache_dir"])
@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_in_place_of_a_folder_is_refused(run_main: Command, files: list[str], place: str, below: str) -> None:
    assert_refused(run_main(run.main, *files, f"{place}=train.csv{below}"), f"train.csv{below}", place)


def test_a_folder_in_place_of_a_file_is_not_a_crash(run_main: Command, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0" / "failure.json").mkdir(parents=True)
    ended = run_main(run.main, "-m", *files, "layer=9", "hydra.sweep.dir=sweep")
    assert ended.status == 1 and "0 done, 0 skipped, 1 failed" in ended.out and "Traceback" not in ended.err


def test_a_path_that_is_neither_a_folder_nor_a_hub_id_is_refused(run_main: Command) -> None:
    assert_refused(run_main(run.main, "model.path=a b"), "'a b'", "hub id")


@pytest.mark.parametrize(
    "word", ["pooling=glob(zzz*)", "seed=range(5,1)", "seed=range(0,1000000000)", "seed=range(0,1,0.000001)"]
)
def test_a_sweep_of_no_jobs_or_of_too_many_is_refused(
    run_main: Command, files: list[str], tmp_path: Path, word: str
) -> None:
    assert_refused(run_main(run.main, "-m", *files, "hydra.sweep.dir=here", word), word)
    assert not (tmp_path / "here").exists()


def test_a_long_word_is_not_repeated_whole(run_main: Command) -> None:
    assert_refused(run_main(run.main, "x" * 5000))
    assert_refused(run_main(run.main, f"hydra.run.dir={'x' * 3000}"))


@pytest.mark.parametrize("main", [run.main, extract.main])
@pytest.mark.parametrize("word", ["--nope", "-x", "--multirunn"])
def test_an_unknown_flag_ends_with_status_2(run_main: Command, main: Callable[[], None], word: str) -> None:
    ended = run_main(main, "pooling=cls", word)
    assert ended.status == 2
    assert len(ended.lines) == 1 and word in ended.err and "--help" in ended.err


def test_paths_may_hold_commas_equals_signs_and_spaces(
    run_main: Command, files: list[str], tmp_path: Path, bert: Path
) -> None:
    odd = tmp_path / "we,ird =dir"
    shutil.copytree(bert, odd / "bert")
    shutil.copy(tmp_path / "train.csv", odd / "tr,ain =x.csv")
    words = [
        f'model.path="{odd / "bert"}"',
        f'dataset.train="{odd / "tr,ain =x.csv"}"',
        f'runtime.cache_dir="{odd / "cache"}"',
    ]
    assert run_main(run.main, *files, *words, f'hydra.run.dir="{odd / "out"}"').status == 0
    assert (odd / "out" / "result.json").is_file()
    assert run_main(run.main, "-m", *files, *words, f'hydra.sweep.dir="{odd / "sweep"}"', "pooling=cls,max").status == 0
    assert (odd / "sweep" / "1" / "result.json").is_file()


def test_a_flag_may_stand_between_overrides(run_main: Command, files: list[str], tmp_path: Path) -> None:
    ended = run_main(run.main, *files, "-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", "pooling=cls")
    assert ended.status == 0 and "1 done" in ended.out


def test_shorthands_stand_for_overrides_that_others_replace() -> None:
    assert check_overrides(["--json", "-m", "seed=1,2"]) == ["-m", "runtime.json=true", "seed=1,2"]
    quiet = ["runtime.log=warning", "runtime.progress=false"]
    assert check_overrides(["runtime.log=debug", "--quiet"]) == [*quiet, "runtime.log=debug"]
    with pytest.raises(SystemExit) as ended:
        check_overrides(["--quiet"], runs=False)
    assert ended.value.code == 2


def test_keys_of_an_experiments_option_are_known() -> None:
    words = ["-m", "+experiment=few_shot", "probe.protocol.experiments=5"]
    assert check_overrides(words) == ["-m", "probe=mteb", *words[1:]]
    assert check_overrides([*words, "probe=mteb"]) == [*words, "probe=mteb"]
    assert check_overrides(["-m", "+experiment=layers"]) == ["-m", "+experiment=layers"]
    assert check_overrides(words[1:]) == words[1:]  # refused later: it is no sweep


def test_a_quiet_run_prints_its_result_alone_and_json_is_one_line(
    run_main: Command, files: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ended = run_main(run.main, *files, "--quiet", "hydra.run.dir=out")
    assert (
        ended.status == 0
        and not ended.err
        and not caplog.records
        and ended.out.splitlines()[-1] == "results: out/result.json"
    )
    ended = run_main(run.main, *files, "--json", "hydra.run.dir=out")
    printed = json.loads(ended.out)
    assert printed.pop("results") == "out/result.json" and printed == json.loads(Path("out/result.json").read_text())
    ended = run_main(run.main, "-m", *files, "--json", "--quiet", "pooling=cls,mean", "hydra.sweep.dir=sweep")
    printed = json.loads(ended.out)
    assert [each["pooling"] for each in printed["runs"]] == ["cls", "mean"]
    assert printed["results"] == ["sweep/comparison.md", "sweep/comparison.csv"]
