"""Measure the error rates of the statistics: ``python -m experiments.benchmarks.calibration``.

Draws test sets from populations whose true values are known. Counts how often a test rejects a true
hypothesis (type-I error) and an interval contains the truth (coverage). Also counts how often two
runs that differ by just the margin are called equivalent (false equivalence). Each rate is one row;
`error` is the standard error of `measured`; `median_width` that of a coverage's intervals, as a
fraction.

Trials of ranks and of several tasks are slower, and half as many. The bootstrap takes 1,000
resamples here (500 for ranks) and 10,000 in use; fewer resamples only add noise. The command takes
50 minutes of one core.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.simulations import simulations
from experiments.cli import at_least, command
from experiments.files import write_csv
from src.cli.messages import print_text
from src.errors import UserError

NOMINAL = {"type-I error": 0.05, "coverage": 0.95, "false equivalence": 0.05}
LIMITS = {"type-I error": (0.0, 0.06), "coverage": (0.93, 0.97), "false equivalence": (0.0, 0.06)}
FIELDS = (
    *("quantity", "method", "metric", "rows", "setting", "nominal", "measured", "error", "trials", "within"),
    *("median_width", "note"),
)
FEWEST_ROWS = 250  # with a stated guarantee


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    output: str = "experiments/records/simulation.csv"
    trials: int = at_least(1, 2000)
    seed: int = at_least(0, 0)
    workers: int = at_least(1, 1)


@command(Options)
def main(options: Options) -> None:
    """Write the table."""
    output = Path(options.output)
    if not output.parent.is_dir():
        raise UserError(f"output: no folder '{output.parent}'. Make it, or name another file.")
    rows = simulate(options.trials, options.seed, options.workers)
    write_csv(output, FIELDS, rows)
    outside = [row["rows"] for row in rows if row["within"] == "no"]
    large = sum(count >= FEWEST_ROWS for count in outside)
    print_text(
        f"{len(rows)} rates in {output}; {len(outside)} outside their limits, {large} at {FEWEST_ROWS} rows or more"
    )


def simulate(trials: int, seed: int, workers: int = 1) -> list[dict[str, Any]]:
    """Return one row per simulation and outcome."""
    from tqdm import tqdm

    numbers = list(range(len(simulations())))
    rest = [trials] * len(numbers), [seed] * len(numbers)
    with ProcessPoolExecutor(workers) as pool:
        run = pool.map(measure, numbers, *rest) if workers > 1 else map(measure, numbers, *rest)
        return [row for rows in tqdm(run, total=len(numbers), unit="experiment", disable=None) for row in rows]


def measure(number: int, trials: int, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one simulation, whose draws depend on seed and number alone."""
    from threadpoolctl import threadpool_limits

    simulation = simulations()[number]
    generator, count = np.random.default_rng([seed, number]), max(1, trials // simulation.divisor)
    found: dict[tuple[str, str], list[float]] = {}
    with threadpool_limits(1):
        for _ in range(count):
            for name, outcome in simulation.trial(generator).items():
                found.setdefault(name, []).append(float(outcome))
    widths = {method: float(np.median(values)) for (quantity, method), values in found.items() if quantity == "width"}
    rows = []
    for (quantity, method), outcomes in sorted(found.items()):
        if quantity == "width":
            continue
        share, (low, high) = sum(outcomes) / count, LIMITS[quantity]
        row = {
            "quantity": quantity,
            "method": method,
            "metric": "kappa" if method == "kappa" else simulation.metric,
            "rows": simulation.rows,
            "setting": simulation.setting,
            "nominal": NOMINAL[quantity],
            "measured": round(share, 6),
            "error": round(float(np.sqrt(share * (1 - share) / count)), 6),
            "trials": count,
            "within": "yes" if low <= share <= high else "no",
            "median_width": round(widths[method], 6) if quantity == "coverage" and method in widths else "",
        }
        rows.append({**row, "note": note(row)})
    return rows


def note(row: dict[str, Any]) -> str:
    """Return why a measured rate is outside its limits, and what that means."""
    if row["within"] == "yes":
        return ""
    if row["quantity"] == "coverage" and row["measured"] > row["nominal"]:
        return "covers more than stated: errs to the safe side"
    if "skewed effects" in row["setting"]:
        return "few units with skewed effects: Student's quantiles do not cover as stated"
    if row["rows"] < FEWEST_ROWS:
        return "few rows: contrasts of so few carry a flag"
    nearest = min(LIMITS[row["quantity"]], key=lambda limit: abs(limit - row["measured"]))
    if abs(row["measured"] - nearest) <= 2 * row["error"]:
        return "within two standard errors of its limit"
    return "outside its limits"


if __name__ == "__main__":
    main()
