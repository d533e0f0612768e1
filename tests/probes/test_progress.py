"""Progress of fits."""

from __future__ import annotations

import time

from src.probes import progress as progress_module
from src.probes.solvers.estimators import LogisticRegression
from tests.helpers.probes import GRID, make, run, settings


def test_progress_counts_all_fits():
    def told_of(estimator=None, **options):
        told: list[tuple[str, int, int]] = []
        tests = {} if options.get("selection") == "nested" else {"test": make(seed=1)}
        grid = settings(C=[0.1, 1.0]) if estimator else settings()
        run(
            estimator or LogisticRegression(),
            grid,
            make(rows=80),
            tests,
            classes=2,
            progress=lambda *what: told.append(what),
            **options,
        )
        return told

    from sklearn.linear_model import LogisticRegression as Peer

    fits = len(GRID)
    for told, total in (
        (told_of(selection="nested", folds=3), 9 * fits + 4),
        (told_of(selection="folds", folds=3, draws=2), 3 * fits + 3),
        (told_of(), fits + 1),
        (told_of(Peer()), 3),
    ):
        done = [each[1] for each in told]
        assert {each[2] for each in told} == {total} and done[-1] == total and len(set(done)) > 2
        assert told[0][0] == "grid" and {"grid", "refit"} <= {each[0] for each in told}


def test_a_bar_is_shown_on_a_terminal_once_fits_take_long(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for delay, wanted in ((0.0, True), (60.0, True), (0.0, False)):
        monkeypatch.setattr(progress_module, "BAR_DELAY", delay)
        with progress_module.progress_bar("toy: probe", wanted) as tell:
            time.sleep(0.15)
            tell("grid", 3, 7)
        shown = capsys.readouterr().err
        assert ("toy: probe, grid" in shown and "3/7" in shown) == (delay == 0 and wanted), shown
