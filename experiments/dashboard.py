"""Save a dashboard in W&B: ``python -m experiments.dashboard ENTITY/PROJECT [--dry-run]``.

The dashboard is a new workspace view that shows only names which `src.trackers.wandb` sends.
``--dry-run`` prints its specification and needs no server.
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
LEGEND = "${config:dataset} ${config:pooling} layer ${config:layer} ${config:probe}"
COLUMNS = [
    "run:state",
    "config:dataset.value",
    "config:pooling.value",
    "config:layer.value",
    "config:probe.value",
    *(f"summary:{name}" for name in INTERVAL),
]
MOST = 200  # runs in a panel; the default of W&B is 10
DIFFERENCES = (
    "**a − b, paired on the same test rows**: a row per task and pair with its 95 % interval, and the p-values of the "
    "difference and of equivalence within one point, after Holm over the sweep. A sweep logs the tables and figures "
    "if it was started with `hydra/callbacks=wandb`."
)
FAILED = (
    "**Runs that failed** come first in the list of runs. A crashed run was killed. A failed run ended with an error; "
    "its `failure.json` and the sweep's closing table hold the reason. The same command runs what is missing, and a "
    "killed job continues its W&B run."
)


def workspace(entity: str, project: str) -> Workspace:
    """Return the workspace of a project, not yet saved."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections(),
        settings=ws.WorkspaceSettings(max_runs=MOST),
        runset_settings=ws.RunsetSettings(
            # In alphabetical order of the state: crashed and failed before finished.
            order=[
                expr.Ordering(expr.Metric("State")),
                expr.Ordering(expr.Metric("CreatedTimestamp"), ascending=False),
            ],
            pinned_columns=COLUMNS,
        ),
    )


def sections() -> list[Section]:
    """Return the sections from top to bottom."""
    return [
        _scores(),
        _differences(),
        _layers(),
        _costs(),
        _ladder(),
        _failures(),
    ]


def _by_pooling(**changes: Any) -> dict[str, Any]:
    """Return the options of a bar plot that groups runs by their pooling."""
    from wandb_workspaces.reports import v2 as wr

    grouped = {"groupby": wr.Config("pooling"), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    return {**grouped, "max_runs_to_show": MOST, **changes}


def _scatter(title: str, metric: str, **options: Any) -> Any:
    """Return a scatter plot of the score by a metric of the summary."""
    from wandb_workspaces.reports import v2 as wr

    return wr.ScatterPlot(title=title, x=wr.SummaryMetric(metric), y=wr.SummaryMetric("score"), **options)


def _scores() -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    every: dict[str, Any] = {"legend_template": LEGEND, "max_runs_to_show": MOST, "max_bars_to_show": MOST}
    interval = wr.BarPlot(
        title="Score with its 95 % interval: low, value, high", metrics=list(INTERVAL), title_x="fraction", **every
    )
    mean = wr.BarPlot(
        title="Mean score and its range over the runs shown", metrics=["score"], title_x="fraction", **_by_pooling()
    )
    kinds = wr.BarPlot(
        title="Mean score by probe or read-out (cosine, knn)",
        metrics=["score"],
        title_x="fraction",
        **_by_pooling(groupby=wr.Config("probe")),
    )
    figure = wr.MediaBrowser(title="Scores with intervals and baselines", media_keys=["figures/scores"], num_columns=1)
    return Section(name="Score by pooling and task", is_open=True, panels=[interval, mean, kinds, figure])


def _differences() -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    chart = wr.CustomChart(
        query={"summaryTable": {"tableKey": "differences"}},
        chart_name="wandb/bar/v0",
        chart_fields={"label": "contrast", "value": "difference"},
        chart_strings={"title": "Difference of the scores"},
    )
    tables = [wr.WeavePanelSummaryTable(table_name=name) for name in ("differences", "comparison")]
    panels: list[Any] = [wr.MarkdownPanel(markdown=DIFFERENCES), tables[0], chart, tables[1]]
    return Section(name="Pooling differences", is_open=True, panels=panels)


def _layers() -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    layer, score = wr.Config("layer"), wr.SummaryMetric("score")
    scores = wr.ScatterPlot(title="Score by layer", x=layer, y=score, legend_template=LEGEND)
    mean = wr.BarPlot(title="Mean score by layer", metrics=["score"], **_by_pooling(groupby=layer))
    return Section(name="Layers", panels=[scores, mean])


def _costs() -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    seconds: list[Any] = ["seconds/encode", "seconds/fit", "seconds/total"]
    panels: list[Any] = [
        _scatter("Score by seconds of the whole run", "seconds/total", log_x=True),
        _scatter("Score by width of the features", "counts/width", legend_template=LEGEND),
        wr.BarPlot(title="Seconds", metrics=seconds, **_by_pooling()),
    ]
    return Section(name="Cost against quality", panels=panels)


def _ladder() -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    metrics = (wr.Config("dataset"), wr.Config("pooling"), wr.SummaryMetric("chosen/value"), wr.SummaryMetric("score"))
    columns = [wr.interface.ParallelCoordinatesPlotColumn(metric=metric) for metric in metrics]
    panels: list[Any] = [
        wr.ParallelCoordinatesPlot(title="Pooling, penalty chosen (knn: k), score", columns=columns),
        _scatter("Score by penalty (knn: k)", "chosen/value", legend_template=LEGEND),
    ]
    return Section(name="Ladder from [CLS] to the pooler", panels=panels)


def _failures() -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    outcomes: list[Any] = ["jobs/done", "jobs/skipped", "jobs/failed"]
    panels: list[Any] = [
        wr.MarkdownPanel(markdown=FAILED),
        wr.BarPlot(title="Jobs by outcome", metrics=outcomes, max_runs_to_show=MOST),
        wr.BarPlot(title="Seconds by state", metrics=["_runtime"], groupby=wr.Metric("State"), groupby_aggfunc="sum"),
    ]
    return Section(name="Runs that failed", panels=panels)


def specification(workspace: Workspace) -> dict[str, Any]:
    """Return what is sent to the server, with numbers in place of the panels' random ids."""
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
        built = workspace(*options.project.split("/"))
    except ImportError as error:
        raise UserError(
            f"{flatten(error)}: dashboards need wandb-workspaces. Run pip install -e '.[dashboard]'."
        ) from error
    print_text(json.dumps(specification(built), indent=2) if options.dry_run else save(built))


def save(built: Workspace) -> str:
    """Send a workspace, and return its address.

    Raises
    ------
    UserError
        There is no key, or the server does not answer or refuses the workspace.
    """
    from src.trackers.wandb_server import offline_reason

    reason = offline_reason()
    if reason is None:
        try:
            built.save()
            return str(built.url)
        except Exception as error:
            reason = f"the server refused it: {flatten(error)}"
    raise UserError(
        f"the dashboard of {built.entity}/{built.project} was not saved: {reason}.\nRun `wandb login`; --dry-run "
        "needs no server."
    )


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # --dry-run | head
    main()
