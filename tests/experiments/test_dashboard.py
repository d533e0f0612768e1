"""The dashboard is what was agreed, asks for nothing that no run sends, and is built and printed without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import dashboard
from experiments.sweep_charts import tables
from experiments.vega_charts import INTERVALS, charts
from src.sweeps.comparison import compare_records
from src.sweeps.jobs import find_jobs
from src.sweeps.status import STATUSES
from src.trackers.wandb_summary import wandb_history, wandb_summary
from tests.helpers.records import make_four, make_result

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pydantic, in the library
SNAPSHOT = Path(__file__).parents[1] / "fixtures" / "dashboard.json"
SECTIONS = {
    "Score by pooling and task",
    "Pooling differences",
    "Layers",
    "Cost against quality",
    "Ladder from [CLS] to the pooler",
}


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("wandb_workspaces", reason="needs wandb-workspaces: pip install -e '.[dashboard]'")
    monkeypatch.setenv("HOME", str(tmp_path))  # no key of the user's
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    dashboard.main(list(words))
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_specification_equals_the_snapshot(capsys: pytest.CaptureFixture[str]) -> None:
    """To accept a change: python -m experiments.dashboard ENTITY/PROJECT --dry-run > tests/fixtures/dashboard.json"""
    assert printed(capsys, "ENTITY/PROJECT", "--dry-run") == json.loads(SNAPSHOT.read_text())


def test_the_sections_are_complete_and_the_library_reads_them() -> None:
    from wandb_workspaces.workspaces import Workspace

    made = dashboard.workspace("me", "mine")
    assert {section.name for section in made.sections} == {*SECTIONS, "Runs that failed"}
    assert all(section.panels for section in made.sections)
    assert dashboard.specification(Workspace._from_model(made._to_model())) == dashboard.specification(made)


@pytest.mark.parametrize("name", ["a+b", 'say "so"', "cost $", "\N{GRINNING FACE} mine", "Gr\u00fc\u00dfe", "n" * 90])
def test_a_dataset_is_filtered_by_its_tag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    filters = json.dumps(printed(capsys, "me/mine", f"dataset={name}", "--dry-run")["spec"]["section"])
    assert json.dumps(name[:64]) in filters


@pytest.mark.parametrize("name", ["it's", "a<b", "x=y", "back\\slash"])
def test_a_name_that_a_filter_would_change_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dashboard.main(
            ["me/mine", f'dataset="{name}"', "--dry-run"] if "\\" not in name else ["me/mine", f"dataset={name}"]
        )
    assert ended.value.code == 1 and "dataset=" in capsys.readouterr().err


def test_every_shown_name_is_sent_by_a_run(tmp_path: Path) -> None:
    text = json.dumps(dashboard.specification(dashboard.workspace("me", "mine")))
    asked = set(re.findall(r'"summary:([^"]+)"', text)) | {
        name for names in re.findall(r'"metrics": \[([^]]*)', text) for name in names[1:-1].split('", "')
    }
    sent = {*wandb_summary(make_result()), *(f"jobs/{status}" for status in STATUSES), "_runtime"}
    assert asked <= sent and len(asked) > 8
    configured = set(re.findall(r"config[:.]([a-z]+)(?:\.value|})", text)) | set(
        re.findall(r'"groupBy": "([a-z]+)\.value"', text)
    )
    assert configured == {"dataset", "pooling", "layer", "probe"}
    assert '"xAxis": "layer"' in text and "layer" in wandb_history(make_result())
    shown = set(re.findall(r'"val": "([^"]+)"', text)) | set(
        re.findall(r'"name": "tableKey", "value": "([^"]+)"', text)
    )
    logged = tables(compare_records(find_jobs(make_four(tmp_path))))
    assert shown == set(logged)
    assert set(re.findall(r'"mediaKeys": \["([^"]+)"\]', text)) == {"figures/scores", "figures/layers"}


def interval_charts(specification: dict[str, Any]) -> list[dict[str, Any]]:
    sections = specification["spec"]["section"]["panelBankConfig"]["sections"]
    return [panel["config"] for section in sections for panel in section["panels"] if panel["viewType"] == "Vega2"]


def test_a_chart_gets_columns_of_its_table_for_all_its_fields(tmp_path: Path) -> None:
    logged = tables(compare_records(find_jobs(make_four(tmp_path))))
    found = interval_charts(dashboard.specification(dashboard.workspace("me", "mine")))
    assert len(found) == 3
    for chart in found:
        fields = set(re.findall(r"\$\{field:(\w+)\}", json.dumps(charts()[chart["panelDefId"].removeprefix("me/")])))
        (table,) = re.findall(r'"name": "tableKey", "value": "([^"]+)"', json.dumps(chart))
        assert set(chart["fieldSettings"]) == fields and {"low", "high", "value"} <= fields
        assert set(chart["fieldSettings"].values()) <= set(logged[table][0])


def test_the_runs_of_some_datasets_alone_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(printed(capsys, "me/mine", "dataset=sst2,cola", "--dry-run"))
    assert '"op": "IN", "value": ["sst2", "cola"]' in text and "Poolings: sst2, cola" in text
    assert '"op": "IN"' not in json.dumps(printed(capsys, "me/mine", "--dry-run"))


def test_without_the_charts_the_bars_of_wandb_are_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(name: str) -> str:
        raise RuntimeError("chart already exists" if name == INTERVALS else "permission denied")

    api = SimpleNamespace(create_custom_chart=lambda entity, name, *_: refuse(name))
    monkeypatch.setattr("wandb.Api", lambda: api)
    known = dashboard.save_charts("me")
    assert known == {INTERVALS: f"me/{INTERVALS}"} and "permission denied" in caplog.text
    assert len(interval_charts(dashboard.specification(dashboard.workspace("me", "mine", chart_ids=known)))) == 2


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ([], 1, "ENTITY/PROJECT"),
        (["mine", "--dry-run"], 1, "'mine' is no ENTITY/PROJECT"),
        (["me/mine", "--dry"], 2, "--dry"),
        (["me/mine"], 1, "the dashboard of me/mine was not saved: no W&B API key was found"),
    ],
)
def test_bad_input_ends_with_one_line(
    words: list[str], status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: "no W&B API key was found")
    with pytest.raises(SystemExit) as ended:
        dashboard.main(words)
    assert ended.value.code == status
    assert line in capsys.readouterr().err


def test_the_workspace_is_saved(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from wandb_workspaces.workspaces import Workspace

    saved, created = [], []
    api = SimpleNamespace(create_custom_chart=lambda entity, name, *_: created.append(name) or f"{entity}/{name}")
    monkeypatch.setattr("wandb.Api", lambda: api)
    monkeypatch.setattr("src.trackers.wandb_server.offline_reason", lambda: None)
    monkeypatch.setattr(Workspace, "save", lambda made: saved.append(made.name))
    monkeypatch.setattr(Workspace, "url", property(lambda made: f"https://server/{made.entity}/{made.project}"))
    dashboard.main(["me/mine"])
    assert capsys.readouterr().out == "https://server/me/mine\n" and saved == ["Poolings"]
    assert created == list(charts())

    def refuse(made: Workspace) -> None:
        raise RuntimeError("permission denied")

    monkeypatch.setattr(Workspace, "save", refuse)
    with pytest.raises(SystemExit):
        dashboard.main(["me/mine"])
    assert "the server refused it: permission denied" in capsys.readouterr().err


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb_workspaces", None)
    with pytest.raises(SystemExit):
        dashboard.main(["me/mine", "--dry-run"])
    assert "pip install -e '.[dashboard]'" in capsys.readouterr().err
