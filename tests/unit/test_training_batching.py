"""Whether joint calls are declared: measured by a clock that a fake graph moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from registry.batching import Batching
from registry.rowwise import Arrays
from training.batching import Measured, measure

FEED = {"x": np.arange(20, dtype=np.float32).reshape(10, 2)}


class Graph:
    """Doubles its rows; a call takes `milliseconds(rows)` on its own clock."""

    def __init__(
        self,
        milliseconds: Callable[[int], float],
        answer: Callable[[Any], Arrays] = lambda x: {"y": x * 2},
    ) -> None:
        self.now = 0.0
        self.calls: list[int] = []
        self._milliseconds = milliseconds
        self._answer = answer

    def run(self, feed: Arrays) -> Arrays:
        rows = len(feed["x"])
        self.calls.append(rows)
        self.now += self._milliseconds(rows) / 1000
        return self._answer(feed["x"])

    def measured(self, feed: Any = FEED) -> Measured:
        return measure(self.run, feed, rtol=1e-5, atol=1e-5, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("milliseconds", "most"),
    [
        (lambda _rows: 3.0, 64),
        (lambda rows: 3.0 + 0.5 * rows, 32),
        (lambda rows: 3.0 + rows, 16),
        (lambda rows: 3.0 if rows < 9 else 0.375 * rows, 8),
        (lambda rows: 2.01 if rows == 1 else rows, 8),
        (lambda rows: 2.0 if rows == 1 else 1.01 * rows, None),
        (lambda _rows: 0.9, None),
        (lambda rows: 5.0 * rows, None),
        (lambda rows: 0.007 * rows, None),
    ],
    ids=[
        "rows cost nothing",
        "rows are cheap",
        "there are enough",
        "only a few rows are cheap",
        "just worth it",
        "just not",
        "just too quick",
        "rows cost what they cost",
        "a random forest",
    ],
)
def test_joint_calls_are_declared_where_they_are_worth_it(
    milliseconds: Callable[[int], float], most: int | None
) -> None:
    assert Graph(milliseconds).measured().batching == (Batching(most) if most else None)


def test_a_pause_of_the_machine_does_not_decide() -> None:
    graph = Graph(lambda rows: 3.0)
    graph._milliseconds = lambda rows: 500.0 if rows > 1 and len(graph.calls) % 5 == 0 else 3.0
    assert graph.measured().batching == Batching(64)


@pytest.mark.parametrize(
    "answer",
    [lambda x: {"y": x - x.mean()}, lambda x: {"y": x[:1]}, lambda x: {"y": x[0].sum()}],
    ids=["centred", "one for all", "no rows"],
)
def test_a_graph_that_looks_at_the_other_rows_is_never_asked_for_several(answer: Any) -> None:
    assert Graph(lambda _rows: 3.0, answer).measured().batching is None


def test_a_graph_that_takes_one_row_only_is_no_error() -> None:
    def one(x: Any) -> Arrays:
        if len(x) > 1:
            raise RuntimeError("expected 1 row")
        return {"y": x}

    measured = Graph(lambda _rows: 3.0, one).measured()
    assert (measured.batching, dict(measured.seconds)) == (None, {1: pytest.approx(0.003)})


def test_rows_that_are_all_the_same_show_nothing() -> None:
    feed = {"x": np.ones((10, 2), dtype=np.float32)}
    assert Graph(lambda _rows: 3.0).measured(feed).batching is None


def test_the_decision_and_its_figures_stand_in_the_bundle() -> None:
    declared = Graph(lambda rows: 3.0 + rows).measured().to_json()
    assert declared["batching"] == {"max_rows": 16}
    assert declared["call_ms"] == pytest.approx({"1": 4, "8": 11, "16": 19, "32": 35})
    assert Graph(lambda _rows: 0.5).measured().to_json().keys() == {"call_ms"}
