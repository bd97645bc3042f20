"""The checker of swap histories: quiet on a good one, loud on every planted fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.checker import unlogged, violations, went_back
from benchmarks.history import Observation
from registry.predictions import Prediction


def predict(version: str, request: Any) -> Any:
    """Version n multiplies by n."""
    return {"1": 1, "2": 2}[version] * request


def good() -> list[Observation]:
    """Six requests, two at a time, over a swap from seq 1 to seq 2."""
    return [
        Observation(
            id=f"r{n}",
            begun=n,
            ended=n + 1.5,
            status=200,
            version="1" if n < 3 else "2",
            seq=1 if n < 3 else 2,
            request=n,
            answer=n if n < 3 else 2 * n,
        )
        for n in range(6)
    ]


def found(history: list[Observation]) -> list[str]:
    return violations(history, ids=[f"r{n}" for n in range(6)], predict=predict)


def changed(number: int, **changes: Any) -> list[Observation]:
    history = good()
    history[number] = dataclasses.replace(history[number], **changes)
    return history


def test_a_good_history_holds() -> None:
    assert found(good()) == []


def test_the_order_in_which_a_history_was_written_down_does_not_matter() -> None:
    assert found(good()[::-1]) == []


def test_a_retry_after_a_broken_connection_is_fine() -> None:
    broken = Observation(id="r2", begun=1.9, ended=2.0, status=0)
    assert found([broken, *good()]) == []


def test_overlapping_requests_may_see_either_side_of_a_swap() -> None:
    assert found(changed(3, version="1", seq=1, answer=3, begun=2.9)) == []


FAULTS: dict[str, tuple[Callable[[], list[Observation]], str]] = {
    "a lost request": (lambda: good()[1:], "r0: answered 0 times, last status none"),
    "a failed request": (lambda: changed(1, status=503), "r1: answered 0 times, last status 503"),
    "a broken connection": (lambda: changed(1, status=0), "r1: answered 0 times, last status 0"),
    "a redirect": (lambda: changed(1, status=308), "r1: answered 0 times, last status 308"),
    "a request that was answered twice": (
        lambda: [*good(), dataclasses.replace(good()[5], begun=9, ended=10)],
        "r5: answered 2 times",
    ),
    "an answer that nobody asked for": (
        lambda: [*good(), dataclasses.replace(good()[5], id="x")],
        "x: answered, but never asked",
    ),
    "an answer of another version than its header says": (
        lambda: changed(4, answer=4),
        "r4: v2 answered 4 to 4, offline it is 8",
    ),
    "an answer that is nearly right": (lambda: changed(4, answer=8.000000001), "offline it is 8"),
    "an answer to another request": (lambda: changed(4, answer=10), "offline it is 8"),
    "a version that never was": (lambda: changed(4, version="7"), "v7, which never was"),
    "no version in the header": (lambda: changed(4, version=""), "v, which never was"),
    "a seq that goes back": (
        lambda: changed(5, version="1", seq=1, answer=5),
        "r5: seq 1, though r3 had ended with 2",
    ),
    "a seq that goes back on another connection, long after": (
        lambda: [*good()[:5], dataclasses.replace(good()[0], id="r5", begun=99, ended=100)],
        "r5: seq 1, though r3 had ended with 2",
    ),
}


@pytest.mark.parametrize(("plant", "expected"), FAULTS.values(), ids=FAULTS)
def test_it_fails_on(plant: Callable[[], list[Observation]], expected: str) -> None:
    complaints = found(plant())
    assert len(complaints) == 1, complaints
    assert expected in complaints[0]


def test_batched_answers_may_differ_by_their_golden_tolerance_and_no_more() -> None:
    history = changed(4, answer=8.00001)
    ids = [f"r{n}" for n in range(6)]
    assert violations(history, ids=ids, predict=predict, rtol=1e-5) == []
    assert len(violations(history, ids=ids, predict=predict, rtol=1e-7)) == 1


@pytest.mark.parametrize("answer", [[[8.0]], None, "8", float("nan")])
def test_a_tolerance_forgives_no_answer_of_another_shape(answer: Any) -> None:
    ids = [f"r{n}" for n in range(6)]
    assert violations(changed(4, answer=answer), ids=ids, predict=predict, rtol=0.5) != []


def test_only_the_order_is_checked_where_answers_cannot_be_predicted() -> None:
    assert went_back(good()) == []
    assert len(went_back(changed(5, version="1", seq=1))) == 1


def test_a_history_of_thousands_holds_and_one_fault_in_it_is_found() -> None:
    many = [
        Observation(
            id=f"r{n}",
            begun=n,
            ended=n + 3.5,
            status=200,
            version="1" if n < 2_500 else "2",
            seq=1 if n < 2_500 else 2,
            request=n,
            answer=n if n < 2_500 else 2 * n,
        )
        for n in range(5_000)
    ]
    ids = [one.id for one in many]
    assert violations(iter(many), ids=ids, predict=predict) == []
    many[4_000] = dataclasses.replace(many[4_000], seq=1, version="1", answer=4_000)
    [complaint] = violations(iter(many), ids=ids, predict=predict)
    assert complaint == "r4000: seq 1, though r2500 had ended with 2"


def log() -> list[Prediction]:
    """What a server wrote down that answered as `good` says."""
    return [
        Prediction(
            prediction_id=f"p{n}",
            request_id=f"r{n}",
            time=float(n),
            model="m",
            version="1" if n < 3 else "2",
            seq=1 if n < 3 else 2,
            endpoint="baton",
            method="POST",
            status=200,
            latency_ms=1.0,
            inputs={},
            outputs={},
        )
        for n in range(6)
    ]


def entered(number: int, **changes: Any) -> list[Prediction]:
    records = log()
    records[number] = dataclasses.replace(records[number], **changes)
    return records


def test_a_log_that_has_every_answer_once_holds_in_any_order() -> None:
    assert unlogged(good(), log()) == []
    assert unlogged(good()[::-1], log()[::-1]) == []


def test_attempts_that_a_proxy_made_of_one_request_count_as_one() -> None:
    first = dataclasses.replace(log()[4], prediction_id="p9", seq=1, version="1", attempt_of="a")
    records = [*entered(4, attempt_of="a"), first]
    assert unlogged(good(), records) == []
    assert unlogged(good(), records[::-1]) == []


def test_what_a_client_never_saw_the_answer_of_may_be_in_the_log() -> None:
    broken = Observation(id="r2", begun=1.9, ended=2.0, status=0)
    twice = [*log(), dataclasses.replace(log()[2], prediction_id="p9")]
    assert unlogged([broken, *good()], twice) == []
    assert unlogged([broken, *good()], log()) == []
    assert unlogged(changed(2, status=0), log()) == []


def test_refusals_in_the_log_are_no_answers() -> None:
    refused = dataclasses.replace(log()[2], prediction_id="p9", status=503)
    assert unlogged(good(), [*log(), refused]) == []


LOG_FAULTS: dict[str, tuple[Callable[[], list[Prediction]], str]] = {
    "a lost record": (lambda: log()[1:], "r0: answered by v1 seq 1, in the log is nothing"),
    "a record that was shipped twice": (lambda: [*log(), log()[3]], "r3: p3 is in the log twice"),
    "a prediction that is there twice": (
        lambda: [*log(), dataclasses.replace(log()[3], prediction_id="p9")],
        "r3: in the log 2 times, answered once",
    ),
    "another version": (lambda: entered(4, version="1"), "in the log is v1 seq 2"),
    "another seq": (lambda: entered(4, seq=3), "in the log is v2 seq 3"),
    "only a refusal": (lambda: entered(4, status=503), "in the log is nothing"),
    "an answer that nobody got": (
        lambda: [*log(), dataclasses.replace(log()[3], prediction_id="p9", request_id="x")],
        "x: in the log, but nobody was answered that",
    ),
    "attempts of which the last did not answer": (
        lambda: [
            *entered(4, attempt_of="a"),
            dataclasses.replace(log()[4], prediction_id="p9", attempt_of="a", seq=7),
        ],
        "in the log is v2 seq 7",
    ),
}


@pytest.mark.parametrize(("plant", "expected"), LOG_FAULTS.values(), ids=LOG_FAULTS)
def test_the_log_fails_on(plant: Callable[[], list[Prediction]], expected: str) -> None:
    complaints = unlogged(good(), plant())
    assert len(complaints) == 1, complaints
    assert expected in complaints[0]


def test_what_others_asked_beside_it_can_be_left_out() -> None:
    other = dataclasses.replace(log()[3], prediction_id="p9", request_id="x")
    assert unlogged(good(), [*log(), other], with_others=True) == []
