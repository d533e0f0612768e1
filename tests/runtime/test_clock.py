import pytest

from src.runtime.clock import PHASES, Clock


class Time:
    """A time source that tests turn by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time) -> Clock:
    return Clock(now=time)


def test_every_phase_starts_at_zero(clock):
    seconds = clock.seconds()
    assert set(seconds) == {"load", "tokenise", "encode", "pool", "store", "fit", "score", "total"}
    assert set(seconds.values()) == {0.0}


def test_a_phase_accumulates_and_time_outside_goes_to_the_total_alone(clock, time):
    for _ in range(3):
        with clock.phase("fit"):
            time.now += 2
        time.now += 10
    seconds = clock.seconds()
    assert (seconds["fit"], seconds["total"]) == (6, 36)


def test_an_inner_phase_is_not_counted_in_its_parent(clock, time):
    with clock.phase("encode"):
        time.now += 1
        with clock.phase("pool"):
            time.now += 5
            with clock.phase("store"):
                time.now += 7
            time.now += 20
        time.now += 2
    seconds = clock.seconds()
    assert (seconds["encode"], seconds["pool"], seconds["store"]) == (3, 25, 7)
    assert sum(seconds[name] for name in PHASES) == seconds["total"]


def test_an_open_phase_has_its_seconds_so_far(clock, time):
    with clock.phase("fit"):
        time.now += 4
        assert clock.seconds()["fit"] == clock.seconds()["total"] == 4
        time.now += 1
    assert clock.seconds()["fit"] == 5


def test_a_phase_that_raises_is_billed_and_closed(clock, time):
    with pytest.raises(RuntimeError), clock.phase("fit"):
        time.now += 4
        raise RuntimeError
    time.now += 1
    seconds = clock.seconds()
    assert (seconds["fit"], seconds["total"]) == (4, 5)


def test_queued_work_is_billed_to_the_phase_that_queued_it(time):
    """The device works on after the call returns; waiting for it belongs to the phase that asked."""
    queue = [0.0]

    def synchronise() -> None:
        time.now += queue[0]
        queue[0] = 0.0

    clock = Clock(synchronise, now=time)
    with clock.phase("encode"):
        queue[0] = 8.0
        with clock.phase("pool"):
            queue[0] = 2.0
    with clock.phase("fit"):
        pass
    seconds = clock.seconds()
    assert (seconds["encode"], seconds["pool"], seconds["fit"]) == (8, 2, 0)


def test_seconds_measured_elsewhere_are_added(clock):
    clock.add("encode", 3.5)
    clock.add("warmup", 1.0)
    assert clock.seconds()["encode"] == 3.5
    assert clock.seconds()["warmup"] == 1.0
    assert clock.seconds()["total"] == 0.0


def test_the_default_source_moves_forward():
    clock = Clock()
    with clock.phase("score"):
        sum(range(1000))
    seconds = clock.seconds()
    assert 0 < seconds["score"] <= seconds["total"]
