"""Save a dashboard in W&B: ``python -m experiments.dashboard ENTITY/PROJECT [dataset=NAME,...] [--dry-run]``.

The dashboard is a new workspace view that shows only names which `src.trackers.wandb` sends.
``dataset=`` shows the runs of these datasets alone. ``--dry-run`` prints the specification and needs
no server.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.cli import command, required
from experiments.vega_charts import DISPLAY_NAMES, INTERVALS, LAYERS, charts
from src.cli.messages import print_text
from src.errors import UserError, flatten, shortened
from src.trackers.wandb import LONGEST_TAG

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
REFUSED = ("So", "Sk", "Sm", "Sc", "Cs")  # Unicode's categories of signs
UNREADABLE = re.compile(r"['\\<>=]")
MOST = 200  # runs in a panel; the default of W&B is 10
TABLES = "Tables and figures are those of the newest sweep that is shown; a sweep logs them in a run of its own."
DIFFERENCES = (
    "**a − b, paired on the same test rows**: a row per group and pair with its 95 % interval, and the p-values of the "
    f"difference and of equivalence within one point, after Holm over the pairs of the group. {TABLES}"
)
FAILED = (
    "**Runs that failed** come first in the list of runs. A crashed run was killed. A failed run ended with an error; "
    "its `failure.json` and the sweep's closing table hold the reason. The same command runs what is missing, and a "
    "killed job continues its W&B run."
)


log = logging.getLogger("experiments.dashboard")


def workspace(
    entity: str, project: str, datasets: Sequence[str] = (), *, chart_ids: Mapping[str, str] | None = None
) -> Workspace:
    """Return the workspace of a project, not yet saved.

    Parameters
    ----------
    entity, project : str
    datasets : sequence of str
        Shows the runs of these alone, and the sweeps that have one of them; empty: all.
    chart_ids : mapping, optional
        Identifier of each chart of `experiments.vega_charts`. Default: as if the entity had them.
    """
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{NAME}: {_plain(', '.join(datasets))}" if datasets else NAME,
        sections=sections(chart_ids or {name: f"{entity}/{name}" for name in charts()}),
        settings=ws.WorkspaceSettings(max_runs=MOST),
        runset_settings=ws.RunsetSettings(
            # In alphabetical order of the state: crashed and failed before finished.
            order=[
                expr.Ordering(expr.Metric("State")),
                expr.Ordering(expr.Metric("CreatedTimestamp"), ascending=False),
            ],
            # A tag, because a sweep's own run has one for each of its datasets.
            filters=expr.And(expr.Tags().isin([name[:LONGEST_TAG] for name in datasets])) if datasets else "",
            pinned_columns=COLUMNS,
        ),
    )


def _plain(text: str) -> str:
    """Return a text without the signs (``<``, ``$``, pictures) that W&B refuses in the name of a view."""
    return "".join("-" if unicodedata.category(char) in REFUSED else char for char in text)


def sections(chart_ids: Mapping[str, str]) -> list[Section]:
    """Return the sections from top to bottom; `chart_ids` as in `workspace`, empty where the entity has no charts."""
    return [
        _scores(chart_ids),
        _differences(chart_ids),
        _layers(chart_ids),
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


def _interval_chart(table: str, chart: str, title: str, **fields: str) -> Any:
    """Return a chart of the newest table of this name, its fields given as columns of the table."""
    from wandb_workspaces.reports import v2 as wr

    bounds = {"low": "low", "high": "high"}
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": table}},
        chart_name=chart,
        chart_fields={**bounds, **fields},
        chart_strings={"title": title},
    )


def _scores(chart_ids: Mapping[str, str]) -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    every: dict[str, Any] = {"legend_template": LEGEND, "max_runs_to_show": MOST, "max_bars_to_show": MOST}
    bars = wr.BarPlot(
        title="Score of each run and the bounds of its 95 % interval",
        metrics=list(INTERVAL),
        title_x="fraction",
        **every,
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
    panels: list[Any] = [figure, bars, mean, kinds]
    if chart := chart_ids.get(INTERVALS):
        fields = {"panel": "group", "label": "pooling", "value": "value"}
        panels.insert(0, _interval_chart("comparison", chart, "score, fraction", **fields))
    return Section(name="Score by pooling and task", is_open=True, panels=panels)


def _differences(chart_ids: Mapping[str, str]) -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    chart = wr.CustomChart(
        query={"summaryTable": {"tableKey": "differences"}},
        chart_name="wandb/bar/v0",
        chart_fields={"label": "contrast", "value": "difference"},
        chart_strings={"title": "Difference of the scores"},
    )
    if found := chart_ids.get(INTERVALS):
        fields = {"panel": "group", "label": "pair", "value": "difference"}
        chart = _interval_chart("differences", found, "difference of the scores, fraction", **fields)
    tables = [wr.WeavePanelSummaryTable(table_name=name) for name in ("differences", "comparison")]
    panels: list[Any] = [wr.MarkdownPanel(markdown=DIFFERENCES), tables[0], chart, tables[1]]
    return Section(name="Pooling differences", is_open=True, panels=panels)


def _layers(chart_ids: Mapping[str, str]) -> Section:
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section

    layer, score = wr.Config("layer"), wr.SummaryMetric("score")
    # A run has one point; the runs of a pooling make its line.
    lines = wr.LinePlot(
        title="Score by layer: mean and range over the runs shown",
        x="layer",
        y=["score"],
        title_x="layer",
        groupby=wr.Config("pooling"),
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=MOST,
    )
    scores = wr.ScatterPlot(title="Score by layer, a point per run", x=layer, y=score, legend_template=LEGEND)
    figure = wr.MediaBrowser(title="Scores by layer with intervals", media_keys=["figures/layers"], num_columns=1)
    panels: list[Any] = [lines, figure, scores]
    if chart := chart_ids.get(LAYERS):
        fields = {"panel": "panel", "label": "pooling", "layer": "layer", "value": "value"}
        panels.insert(0, _interval_chart("comparison", chart, "score, fraction", **fields))
    return Section(name="Layers", panels=panels)


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

    metrics: list[Any] = [wr.Config(name) for name in ("dataset", "pooling", "layer")]
    metrics += [wr.SummaryMetric("chosen/value"), wr.SummaryMetric("score")]
    columns = [wr.interface.ParallelCoordinatesPlotColumn(metric=metric) for metric in metrics]
    panels: list[Any] = [
        wr.ParallelCoordinatesPlot(title="Dataset, pooling, layer, penalty chosen (knn: k), score", columns=columns),
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
    dataset: tuple[str, ...] = ()  # shows the runs of these alone
    dry_run: bool = False


@command(Options, positional="project", aliases={"--dry-run": "dry_run=true"})
def main(options: Options) -> None:
    """Save the workspace, or print it."""
    entity, project = split_project(options.project)
    for name in options.dataset:
        check_filter(name)
    try:
        built = workspace(entity, project, options.dataset)
        if options.dry_run:
            print_text(json.dumps(specification(built), indent=2))
        else:
            print_text(save(entity, project, options.dataset))
    except ImportError as error:
        raise UserError(
            f"{flatten(error)}: dashboards need wandb-workspaces. Run pip install -e '.[dashboard]'."
        ) from error


def check_filter(name: str) -> None:
    """Raise a UserError for a dataset's name that the library's filters change or cannot read."""
    if UNREADABLE.search(name) or not name.isprintable():
        raise UserError(
            f"dataset={shortened(name)!r}: a filter of W&B cannot hold quotes, backslashes or the signs < > =. "
            "Leave dataset= out, and filter in the browser."
        )


def split_project(text: str) -> tuple[str, str]:
    """Return entity and project of ``ENTITY/PROJECT``; raise a UserError if the text is of another form."""
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", text):
        raise UserError(f"'{text}' is no ENTITY/PROJECT, such as my-team/bert-pooling-probes.")
    entity, _, project = text.partition("/")
    return entity, project


def save(entity: str, project: str, datasets: Sequence[str] = ()) -> str:
    """Send the charts and the workspace of a project, and return its address.

    Raises
    ------
    UserError
        There is no key, or the server does not answer or refuses the workspace.
    """
    from src.trackers.wandb_server import offline_reason

    reason = offline_reason()
    if reason is None:
        try:
            built = workspace(entity, project, datasets, chart_ids=save_charts(entity))
            built.save()
            return str(built.url)
        except Exception as error:
            reason = f"the server refused it: {flatten(error)}"
    raise UserError(
        f"the dashboard of {entity}/{project} was not saved: {reason}.\nRun `wandb login`; --dry-run needs no server."
    )


def save_charts(entity: str) -> dict[str, str]:
    """Create the charts of `experiments.vega_charts` in an entity, and return the identifier of each.

    A chart that the entity has already is used as it is. One that the server refuses is left out with a warning.
    """
    import wandb

    found = {}
    for name, specification in charts().items():
        try:
            found[name] = wandb.Api().create_custom_chart(
                entity, name, DISPLAY_NAMES[name], "vega2", "private", specification
            )
        except Exception as error:
            if "exist" in str(error).lower() or "duplicate" in str(error).lower():
                found[name] = f"{entity}/{name}"
            else:
                log.warning("no chart '%s': the server refused it: %s", DISPLAY_NAMES[name], flatten(error))
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # --dry-run | head
    main()
