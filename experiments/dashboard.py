"""A project's dashboard in W&B, as code: ``python -m experiments.dashboard ENTITY/PROJECT [--dry-run]``.

Saves a new workspace view, built of the names that src/trackers/wandb.py sends and nothing else. ``--dry-run`` prints its specification
and asks no server.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.cli import command, required
from src.cli.messages import print_text
from src.errors import UserError, flatten

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

NAME = "Poolings"
INTERVAL = ["score_low", "score", "score_high"]
LEGEND = "${config:dataset} ${config:pooling} layer ${config:layer}"
COLUMNS = [
    "run:state",
    "config:dataset.value",
    "config:pooling.value",
    "config:layer.value",
    *(f"summary:{name}" for name in INTERVAL),
]
MOST = 200  # runs in a panel; W&B's own default is 10
DIFFERENCES = """**a − b, paired on the same test rows**, one row per task and pair, with its 95 % interval and, after Holm over the
sweep, p of the difference and of equivalence within one point. A sweep that was started with `hydra/callbacks=wandb` logs the tables and
the figures."""
FAILED = """**Runs that failed** stand first in the list of runs: crashed, a job that was killed; failed, one that ended with an error, its
reason in its `failure.json` and below the sweep's closing table. The same command again does what is missing, and a killed job goes on
with its run."""


def workspace(entity: str, project: str) -> Workspace:
    """The workspace of a project, not yet saved."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections(),
        settings=ws.WorkspaceSettings(max_runs=MOST),
        runset_settings=ws.RunsetSettings(
            # By state in the alphabet: crashed and failed before finished.
            order=[
                expr.Ordering(expr.Metric("State")),
                expr.Ordering(expr.Metric("CreatedTimestamp"), ascending=False),
            ],
            pinned_columns=COLUMNS,
        ),
    )


def sections() -> list[Section]:
    """The sections from top to bottom, each a question."""
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    pooling, layer, score = wr.Config("pooling"), wr.Config("layer"), wr.SummaryMetric("score")
    by_pooling: dict[str, Any] = {
        "groupby": pooling,
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "minmax",
        "max_runs_to_show": MOST,
    }
    every: dict[str, Any] = {"legend_template": LEGEND, "max_runs_to_show": MOST, "max_bars_to_show": MOST}
    return [
        Section(
            name="Score by pooling and task",
            is_open=True,
            panels=[
                wr.BarPlot(
                    title="Score with its 95 % interval: low, value, high",
                    metrics=list(INTERVAL),
                    title_x="fraction",
                    **every,
                ),
                wr.BarPlot(
                    title="Mean score and its range over the runs shown",
                    metrics=["score"],
                    title_x="fraction",
                    **by_pooling,
                ),
                wr.MediaBrowser(
                    title="Scores with intervals and baselines", media_keys=["figures/scores"], num_columns=1
                ),
            ],
        ),
        Section(
            name="Pooling differences",
            is_open=True,
            panels=[
                wr.MarkdownPanel(markdown=DIFFERENCES),
                wr.WeavePanelSummaryTable(table_name="differences"),
                wr.CustomChart(
                    query={"summaryTable": {"tableKey": "differences"}},
                    chart_name="wandb/bar/v0",
                    chart_fields={"label": "contrast", "value": "difference"},
                    chart_strings={"title": "Difference of the scores"},
                ),
                wr.WeavePanelSummaryTable(table_name="comparison"),
            ],
        ),
        Section(
            name="Layers",
            panels=[
                wr.ScatterPlot(title="Score by layer", x=layer, y=score, legend_template=LEGEND),
                wr.BarPlot(title="Mean score by layer", metrics=["score"], **{**by_pooling, "groupby": layer}),
            ],
        ),
        Section(
            name="Cost against quality",
            panels=[
                wr.ScatterPlot(
                    title="Score by seconds of the whole run", x=wr.SummaryMetric("seconds/total"), y=score, log_x=True
                ),
                wr.ScatterPlot(
                    title="Score by width of the features",
                    x=wr.SummaryMetric("counts/width"),
                    y=score,
                    legend_template=LEGEND,
                ),
                wr.BarPlot(title="Seconds", metrics=["seconds/encode", "seconds/fit", "seconds/total"], **by_pooling),
            ],
        ),
        Section(
            name="Ladder from [CLS] to the pooler",
            panels=[
                wr.ParallelCoordinatesPlot(
                    title="Pooling, penalty chosen, score",
                    columns=[
                        wr.interface.ParallelCoordinatesPlotColumn(metric=wr.Config("dataset")),
                        wr.interface.ParallelCoordinatesPlotColumn(metric=pooling),
                        wr.interface.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric("chosen/value")),
                        wr.interface.ParallelCoordinatesPlotColumn(metric=score),
                    ],
                ),
                wr.ScatterPlot(
                    title="Score by penalty", x=wr.SummaryMetric("chosen/value"), y=score, legend_template=LEGEND
                ),
            ],
        ),
        Section(
            name="Runs that failed",
            panels=[
                wr.MarkdownPanel(markdown=FAILED),
                wr.BarPlot(
                    title="Jobs by outcome", metrics=["jobs/done", "jobs/skipped", "jobs/failed"], max_runs_to_show=MOST
                ),
                wr.BarPlot(
                    title="Seconds by state", metrics=["_runtime"], groupby=wr.Metric("State"), groupby_aggfunc="sum"
                ),
            ],
        ),
    ]


def specification(workspace: Workspace) -> dict[str, Any]:
    """What would be sent to the server; the panels' random ids are numbered, so that equal workspaces have equal specifications."""
    spec: dict[str, Any] = json.loads(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True))
    for section in spec["spec"]["section"]["panelBankConfig"]["sections"]:
        for number, panel in enumerate(section["panels"]):
            panel["__id__"] = f"panel {number}"
    return spec


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    project: str = required("the W&B project, as ENTITY/PROJECT")
    dry_run: bool = False


@command(Options, positional="project", aliases={"--dry-run": "dry_run=true"})
def main(options: Options) -> None:
    """Save the workspace, or print it."""
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", options.project):
        raise UserError(f"'{options.project}' is no ENTITY/PROJECT, such as my-team/bert-pooling-probes.")
    try:
        made = workspace(*options.project.split("/"))
    except ImportError as error:
        raise UserError(
            f"{flatten(error)}: dashboards need wandb-workspaces. Run pip install -e '.[dashboard]'."
        ) from error
    print_text(json.dumps(specification(made), indent=2) if options.dry_run else save(made))


def save(made: Workspace) -> str:
    """Send a workspace; its address.

    Raises
    ------
    UserError
        There is no key, or the server does not answer or refuses the workspace.
    """
    from src.trackers.wandb_server import offline_reason

    reason = offline_reason()
    if reason is None:
        try:
            made.save()
            return str(made.url)
        except Exception as error:
            reason = f"the server refused it: {flatten(error)}"
    raise UserError(
        f"the dashboard of {made.entity}/{made.project} was not saved: {reason}.\nRun `wandb login`; --dry-run needs no server."
    )


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # --dry-run | head
    main()
