"""Copies for a shadow: who gets one, what becomes of it, and that nobody notices."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from registry.errors import SignatureMismatch
from registry.ledger import Role
from serving.shadows import MOST_WAITING, agree
from tests.servingfakes.arms import ArmsBench, ByDigest

DEADLINE_SECONDS = 30.0
BenchOf = Callable[..., ArmsBench]


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[BenchOf]:
    made: list[ArmsBench] = []

    def make(**says: Callable[[Any], Any]) -> ArmsBench:
        made.append(ArmsBench(tmp_path, ByDigest(**says)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def says(number: float) -> Callable[[Any], Any]:
    return lambda _body: {"predictions": [[number]]}


def counts() -> dict[str, float]:
    found = {}
    for result in ("same", "different", "failed", "dropped"):
        labels = {"model": "iris", "result": result}
        found[result] = REGISTRY.get_sample_value("baton_shadow_total", labels) or 0.0
    return found


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it never was"
        time.sleep(0.002)


def more(before: Mapping[str, float]) -> dict[str, float]:
    """What was counted since."""
    return {name: now - before[name] for name, now in counts().items() if now != before[name]}


def test_a_shadow_is_asked_the_same_and_answers_nobody(bench_of: BenchOf) -> None:
    bench = bench_of(A=says(1.0), B=says(2.0))
    bench.flip(2, 1.0, role=Role.SHADOW)
    before = counts()
    answer = bench.ask({"instances": [7]}, X_Request_Id="r-1", X_Attempt_Of="attempt")
    assert json.loads(answer.body)["predictions"] == [[1.0]]
    assert (answer.headers["X-Model-Version"], "X-Model-Arm" in answer.headers) == ("1", False)
    until(lambda: len(bench.spool.records) == 2)
    until(lambda: more(before) == {"different": 1})
    first, second = bench.spool.records
    assert (first.arm, first.version, first.attempt_of) == ("serve", "1", "attempt")
    assert (second.arm, second.version, second.digest, second.seq) == ("shadow", "2", "B", 2)
    assert second.prediction_id != first.prediction_id
    assert (second.request_id, second.attempt_of) == ("r-1", ""), "it is no attempt of the other"
    assert (second.time, second.inputs) == (first.time, {"instances": [7]})
    assert second.outputs == {"predictions": [[2.0]]}


def test_only_a_share_of_requests_is_copied(bench_of: BenchOf) -> None:
    bench = bench_of(A=says(1.0), B=says(1.0))
    arm = bench.flip(2, 0.25, role=Role.SHADOW)
    assert arm
    before = counts()
    ids = [f"r{number}" for number in range(100)]
    for one in ids:
        bench.ask(X_Request_Id=one)
        until(bench.answerer._shadows._waiting.empty)
    wanted = sorted(one for one in ids if arm.takes(one))
    until(lambda: more(before) == {"same": len(wanted)})
    copied = sorted(one.request_id for one in bench.spool.records if one.arm == "shadow")
    assert copied == wanted


def test_what_finds_no_room_is_dropped_and_nobody_waits_for_the_rest(bench_of: BenchOf) -> None:
    gate = threading.Event()

    def slow(_body: Any) -> Any:
        gate.wait(DEADLINE_SECONDS)
        return {"predictions": [[1.0]]}

    bench = bench_of(A=says(1.0), B=slow)
    bench.flip(2, 1.0, role=Role.SHADOW)
    before = counts()
    bench.ask()
    until(bench.answerer._shadows._waiting.empty)
    assert [bench.ask().status for _ in range(MOST_WAITING + 5)] == [200] * (MOST_WAITING + 5)
    assert more(before) == {"dropped": 5}
    gate.set()
    until(lambda: more(before) == {"dropped": 5, "same": MOST_WAITING + 1})


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("on purpose"), 500), (SignatureMismatch("x", expected="a", got="b"), 422)],
)
def test_a_shadow_that_fails_is_counted_and_written_down(
    bench_of: BenchOf, error: Exception, status: int
) -> None:
    def fails(_body: Any) -> Any:
        raise error

    bench = bench_of(A=says(1.0), B=fails)
    bench.flip(2, 1.0, role=Role.SHADOW)
    before = counts()
    assert bench.ask().status == 200
    until(lambda: more(before) == {"failed": 1})
    second = bench.spool.records[1]
    assert (second.arm, second.version, second.status) == ("shadow", "2", status)
    assert second.error.startswith(type(error).__name__)


def test_a_copy_of_a_shadow_that_has_ended_is_dropped(bench_of: BenchOf) -> None:
    gate = threading.Event()

    def slow(_body: Any) -> Any:
        gate.wait(DEADLINE_SECONDS)
        return {"predictions": [[1.0]]}

    bench = bench_of(A=says(1.0), B=slow)
    bench.flip(2, 1.0, role=Role.SHADOW)
    before = counts()
    for _ in range(3):
        bench.ask()
    until(lambda: bench.answerer._shadows._waiting.qsize() == 2)
    bench.flip(3)
    gate.set()
    until(lambda: more(before) == {"same": 1, "dropped": 2})


def test_copies_leave_room_in_the_spool_for_what_was_answered(bench_of: BenchOf) -> None:
    bench = bench_of(A=says(1.0), B=says(1.0))
    bench.flip(2, 1.0, role=Role.SHADOW)
    bench.spool.share = 0.7
    before = counts()
    assert bench.ask().status == 200
    until(lambda: more(before) == {"same": 1})
    assert [one.arm for one in bench.spool.records] == ["serve"]


def test_refusals_are_not_copied(bench_of: BenchOf) -> None:
    def refuses(_body: Any) -> Any:
        raise SignatureMismatch("x", expected="a", got="b")

    bench = bench_of(A=refuses, B=says(1.0))
    bench.flip(2, 1.0, role=Role.SHADOW)
    assert bench.ask().status == 422
    assert bench.answerer._shadows._thread is None


AGREEING: dict[str, tuple[Any, Any]] = {
    "the same number": ({"y": [[1.5]]}, {"y": [[1.5]]}),
    "a number within one percent": ({"y": np.array([[100.0]])}, {"y": np.array([[100.9]])}),
    "the same class, by other probabilities": (
        {"label": np.array([2]), "probabilities": np.array([[0.1, 0.2, 0.7]])},
        {"label": np.array([2]), "probabilities": np.array([[0.3, 0.3, 0.4]])},
    ),
    "the same dates and values": (
        {"ds": ["2026-11-02"], "yhat": [3.0], "yhat_lower": [1.0], "yhat_upper": [4.0]},
        {"ds": ["2026-11-02"], "yhat": [3.01], "yhat_lower": [2.0], "yhat_upper": [9.0]},
    ),
    "several numbers a row": (
        {"y": np.array([[100.0, 5.0]]), "z": np.array([[1.0]])},
        {"y": np.array([[100.5, 5.0]]), "z": np.array([[1.0]])},
    ),
    "texts": ({"a": ["x"], "b": ["y"]}, {"a": ["x"], "b": ["y"]}),
}
DIFFERING: dict[str, tuple[Any, Any]] = {
    "a number two percent off": ({"y": [[100.0]]}, {"y": [[102.0]]}),
    "another class": ({"label": ["cat"]}, {"label": ["dog"]}),
    "another whole number, which is a class": ({"label": [7]}, {"label": [8]}),
    "another class of the same probabilities": (
        {"label": np.array([0]), "probabilities": np.array([[0.5, 0.5]])},
        {"label": np.array([1]), "probabilities": np.array([[0.5, 0.5]])},
    ),
    "more rows": ({"y": [[1.0]]}, {"y": [[1.0], [1.0]]}),
    "other dates": (
        {"ds": ["2026-11-02"], "yhat": [3]},
        {"ds": ["2026-11-03"], "yhat": [3]},
    ),
    "one of several numbers": ({"y": np.array([[1.0, 2.0]])}, {"y": np.array([[1.0, 3.0]])}),
    "another shape": ({"y": np.full((2, 3), 5.0)}, {"y": np.full((2, 2), 5.0)}),
    "another name": ({"y": np.ones((1, 2)) * 5}, {"z": np.ones((1, 2)) * 5}),
    "texts": ({"a": ["x"], "b": ["y"]}, {"a": ["x"], "b": ["z"]}),
}


@pytest.mark.parametrize(("one", "other"), AGREEING.values(), ids=AGREEING)
def test_two_versions_that_say_the_same(one: Any, other: Any) -> None:
    assert agree(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERING.values(), ids=DIFFERING)
def test_two_versions_that_differ(one: Any, other: Any) -> None:
    assert not agree(one, other)
