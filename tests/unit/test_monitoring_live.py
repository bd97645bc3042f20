"""What came true is looked at once an hour, and less often where that takes long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.fakes.prediction_log import Told
from training.monitoring.live import Live
from training.monitoring.page import Page
from training.monitoring.reference import Reference
from training.monitoring.thresholds import RulesFile

LIMITS = RulesFile.read().of("iris")
IRIS = Reference(experiment="e", labels=("a", "b"), metrics={"accuracy": 0.9}, rows=100)
WEEK = 7 * 86_400.0


class SlowTruth:
    """Takes so long, on a timer of its own; counts the looks."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0
        self.spans: list[tuple[float, float]] = []

    def timer(self) -> float:
        return self.now

    def pairs(self, model: str, since: float, until: float) -> Sequence[Told]:
        self.now += self.seconds
        self.spans.append((since, until))
        right = [Told(version="1", time=i, predicted="a", truth="a") for i in range(60)]
        return [*right, Told(version="2", time=9, predicted=1.0, truth=3.0, horizon=2)]


@pytest.mark.parametrize(("seconds", "looks"), [(1.0, 6), (540.0, 2)])
def test_it_takes_no_more_than_a_twentieth_of_the_time(seconds: float, looks: int) -> None:
    """Windows of five minutes for six hours."""
    truth = SlowTruth(seconds)
    live = Live(truth, timer=truth.timer)
    for window in range(72):
        live.verdicts("iris", "1", IRIS, LIMITS, WEEK + window * 300.0)
    assert len(truth.spans) == looks
    assert truth.spans[0] == (0.0, WEEK)


def test_verdicts_are_of_one_version_and_say_what_was_looked_at() -> None:
    live = Live(SlowTruth(0.0))
    first = {v.rule: v for v in live.verdicts("iris", "1", IRIS, LIMITS, WEEK)}
    assert (first["accuracy"].value, first["accuracy"].samples) == (1.0, 60)
    assert (first["accuracy"].since, first["accuracy"].until) == (0.0, WEEK)
    [unknown] = {v.state for v in live.verdicts("iris", "3", IRIS, LIMITS, WEEK)}
    assert unknown == "unknown"


def test_the_page_shows_accuracy_or_errors_by_day_ahead() -> None:
    live, page = Live(SlowTruth(0.0)), Page()
    live.show("iris", "1", page)
    live.verdicts("iris", "1", IRIS, LIMITS, WEEK)
    live.show("iris", "1", page)
    live.show("prices", "2", page)
    value = page.registry.get_sample_value
    assert value("baton_live_accuracy", {"model": "iris"}) == 1
    live.show("iris", "2", page)
    assert value("baton_live_error", {"model": "iris", "horizon": "2"}) == 2
    assert value("baton_live_accuracy", {"model": "iris"}) is None, "that was of version 1"
    assert value("baton_live_accuracy", {"model": "prices"}) is None
