"""Files of runs are downloaded from W&B into folders that the report and the paired tests read."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import dashboard, download
from experiments.report.reading import read_sweeps
from src.errors import UserError
from src.results.result import PREDICTIONS, PROBE, RECORD
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import find_jobs
from src.trackers.wandb_artifacts import artifact_name
from tests.helpers.records import job, make_four, wrong


class Artifact:
    """An artifact of W&B, whose files lie in a folder."""

    def __init__(self, source: Path, name: str, *, files: tuple[str, ...] = (PREDICTIONS, PROBE, RECORD)) -> None:
        self.source, self.name, self.type = source, f"{name}:v0", "record"
        self.manifest = SimpleNamespace(entries=dict.fromkeys(files))

    def download(self, root: str) -> None:
        Path(root).mkdir(parents=True, exist_ok=True)
        for name in self.manifest.entries:
            shutil.copy(self.source / name, root)


def run_of(*artifacts: Any) -> SimpleNamespace:
    return SimpleNamespace(logged_artifacts=lambda: artifacts)


def test_runs_of_two_machines_are_compared_by_paired_tests(tmp_path: Path) -> None:
    results = {name: job(tmp_path / name, 0, wrong(misses), pooling=name) for name, misses in
               (("cls", 40), ("mean", 90))}  # fmt: skip
    table = SimpleNamespace(type="run_table", name="run-1-grid:v0")
    runs = [
        run_of(table, Artifact(tmp_path / name / "0", artifact_name(result.key))) for name, result in results.items()
    ]
    output = tmp_path / "output"
    assert download.save([*runs, runs[0]], output) == 2
    records, left_out = read_sweeps(output)
    assert {record.result.pooling for record in records} == {"cls", "mean"} and not left_out
    (group,) = compare_records(find_jobs(output)).groups
    assert sorted(run.mark for run in group.runs) == ["best", "worse"]


@pytest.mark.parametrize("name", ["../../evil.py", "other.txt"])
def test_other_files_are_refused_and_not_downloaded(tmp_path: Path, name: str) -> None:
    artifact = Artifact(tmp_path, "record-0", files=(RECORD, name))
    artifact.download = lambda root: pytest.fail("downloaded")  # type: ignore[method-assign]
    with pytest.raises(UserError, match="no file of a record"):
        download.save([run_of(artifact)], tmp_path / "output")


@pytest.mark.parametrize("name", ["..", ".", "", "../../record-0", "record-..", "evil", "record-0\n"])
def test_a_name_does_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    make_four(tmp_path / "sweep")
    with pytest.raises(UserError, match="no name of a record"):
        download.save([run_of(Artifact(tmp_path / "sweep" / "0", name))], tmp_path / "output")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_a_file_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "record-0", files=(RECORD,))
    artifact.manifest.entries[RECORD] = SimpleNamespace(ref="file:///etc/hostname")
    with pytest.raises(UserError, match="no file of a record"):
        download.save([run_of(artifact)], tmp_path / "output")


def test_an_output_that_is_a_file_is_refused_before_the_server_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: pytest.fail("asked"))
    (tmp_path / "taken").touch()
    with pytest.raises(SystemExit) as ended:
        download.main(["me/mine", f"output={tmp_path / 'taken'}"])
    assert ended.value.code == 1 and "output=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["mine", "output=o"], "'mine' is no ENTITY/PROJECT"),
        (["me/mine"], "output"),
        (["me/mine", "output=o", "group=a", "sweep=b"], "group="),
        (["me/mine", "output=o"], "no W&B API key was found"),
    ],
)
def test_bad_input_ends_with_one_line(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: "no W&B API key was found")
    with pytest.raises(SystemExit) as ended:
        download.main(words)
    assert ended.value.code == 1 and line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "asked"), [([], {}), (["group=night"], {"group": "night"}), (["sweep=abc"], "me/mine/abc")]
)
def test_the_runs_of_a_project_a_group_or_a_sweep_are_asked_for(
    words: list[str], asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job(tmp_path, 0, wrong(3))
    found = [run_of(Artifact(tmp_path / "0", "record-0"))]
    seen: list[Any] = []
    api = SimpleNamespace(
        runs=lambda path, filters: seen.append(filters) or found,
        sweep=lambda path: seen.append(path) or SimpleNamespace(runs=found),
    )
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: None)
    monkeypatch.setattr("wandb.Api", lambda: api)
    download.main(["me/mine", f"output={tmp_path / 'output'}", *words])
    assert seen == [asked] and "1 run\n" in capsys.readouterr().out


PAGE = (Path(__file__).parents[2] / "docs" / "wandb.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m experiments\.(dashboard|download) (.*?)(?:\s+#.*)?$", PAGE, re.MULTILINE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pydantic, in the library
@pytest.mark.parametrize(("name", "words"), COMMANDS)
def test_the_pages_commands_are_read_and_end_where_there_is_no_key(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "dashboard":
        pytest.importorskip("wandb_workspaces", reason="needs wandb-workspaces: pip install -e '.[dashboard]'")
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: "no key here")
    main = {"dashboard": dashboard.main, "download": download.main}[name]
    if "--dry-run" in words:
        main(shlex.split(words))
    else:
        with pytest.raises(SystemExit):
            main(shlex.split(words))
        assert "no key here" in capsys.readouterr().err


def test_the_page_names_its_commands() -> None:
    assert {name for name, _ in COMMANDS} == {"dashboard", "download"}


def test_a_server_that_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise RuntimeError("permission denied")

    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: None)
    monkeypatch.setattr("wandb.Api", refuse)
    with pytest.raises(SystemExit):
        download.main(["me/mine", "output=o"])
    assert "permission denied" in capsys.readouterr().err
