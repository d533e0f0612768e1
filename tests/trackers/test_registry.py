"""The tracker that a configuration names."""

from __future__ import annotations

import pytest

from src.cli.structured import load_option
from src.config.schema import TrackerConfig
from src.errors import UserError
from src.trackers.none import NoTracker
from src.trackers.registry import build_tracker
from tests.helpers.records import make_result
from tests.helpers.wandb import python


def test_none_does_nothing_and_imports_nothing(tmp_path):
    tracker = build_tracker(TrackerConfig(name="none"))
    assert isinstance(tracker, NoTracker)
    tracker.start({}, name="a", group=None, job_type="probe", tags=[], folder=tmp_path / "job")
    tracker.log(make_result())
    tracker.show({"table": (["column"], [[1]])})
    tracker.measure({"loss": 1.0}, 0)
    assert tracker.finish(True) is None
    assert not (tmp_path / "job").exists()
    done = python(
        "t = start('job', 'a', name='none'); t.log(make_result()); t.finish(False); print('wandb' in sys.modules)",
        tmp_path,
    )
    assert done.stdout == "False\n", done.stderr


def test_an_unknown_tracker_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown tracker 'wanb'; did you mean 'wandb'\? Known: none, wandb"):
        build_tracker(TrackerConfig(name="wanb"))


@pytest.mark.parametrize("name", ["none", "wandb"])
def test_each_tracker_has_its_option(name):
    assert load_option(TrackerConfig, "tracker", name).name == name
