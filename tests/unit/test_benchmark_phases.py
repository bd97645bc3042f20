"""The open loop in phases: answers as bytes, goodput, refusals, recovery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.open_client import answered
from benchmarks.open_loop import ROW, Phase
from benchmarks.phases import Seen

OK = b"HTTP/1.1 200 OK\r\nX-Worker: 1\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}"
START = 100.0


def row(due: float, **changes: Any) -> tuple[Any, ...]:
    """A request of the second phase that was accepted 3 ms after it was due."""
    given = {
        "phase": 1,
        "status": 200,
        "retry": 0,
        "due": START + due,
        "begun": START + due,
        "ended": START + due + changes.pop("took", 0.003),
    }
    return tuple((given | changes).values())


def seen(rows: Sequence[tuple[Any, ...]], seconds: float = 10.0) -> Seen:
    phases = [Phase(5.0, 20.0), Phase(10.0, seconds)]
    return Seen.of(np.array(rows, dtype=ROW), 1, phases, START - 20.0)


def steady(**changes: Any) -> list[tuple[Any, ...]]:
    return [row(number / 10, **changes) for number in range(100)]


def test_a_whole_answer_tells_its_status_and_when_to_come_again():
    assert answered(OK) == (200, False, False)
    assert answered(BUSY) == (503, True, False)
    closing = BUSY.replace(b"content-length", b"Connection: close\r\ncontent-length")
    assert answered(closing) == (503, True, True)


@pytest.mark.parametrize("end", [1, 20, len(OK) - 2, len(OK) - 1])
def test_an_answer_that_is_not_whole_is_waited_for(end: int):
    assert answered(OK[:end]) is None


def test_an_answer_without_a_length_counts_as_broken():
    with pytest.raises(ConnectionResetError, match="length"):
        answered(b"HTTP/1.1 200 OK\r\n\r\n")


def test_what_a_body_says_is_no_header():
    lying = b"HTTP/1.1 503 X\r\nContent-Length: 20\r\n\r\n\r\nRetry-After: 1\r\n\r\n"
    assert answered(lying) == (503, False, False)


def test_only_the_rows_of_the_phase_count():
    found = seen([*steady(), row(1.0, phase=0, status=0)])
    assert (len(found.rows), found.failed, found.start) == (100, 0, START)


def test_goodput_counts_what_was_accepted_and_had_come_in_time():
    late = row(9.99, took=0.5)
    found = seen([*steady(), *steady(status=503, retry=1), late])
    assert found.goodput == 10.0
    assert len(found.accepted) == 101


def test_latency_is_of_the_accepted_and_from_when_they_were_due():
    queued = row(5.0, begun=START + 5.5, took=0.6)
    found = seen([*steady(), queued, *steady(status=503, took=2.0)])
    assert found.latency_ms(0.5) == pytest.approx(3.0)
    assert found.latency_ms(1.0) == pytest.approx(600.0)


def test_a_refusal_is_timed_from_when_it_was_sent():
    found = seen([row(1.0, status=503, retry=1, begun=START + 3.0, ended=START + 3.004)])
    assert found.shed_ms(0.99) == pytest.approx(4.0)


def test_a_refusal_that_does_not_say_when_to_come_again_is_counted():
    found = seen([row(1.0, status=503), row(2.0, status=503), row(3.0, status=503, retry=1)])
    assert found.unexplained == 2


@pytest.mark.parametrize("status", [-1, 0, 400, 429, 500, 502])
def test_whatever_is_neither_accepted_nor_refused_has_failed(status: int):
    assert seen([row(1.0), row(2.0, status=503, retry=1), row(3.0, status=status)]).failed == 1


def test_what_found_no_free_connection_is_told_from_what_broke():
    assert seen([row(1.0, status=-1), row(2.0, status=0), row(2.5, status=0)]).given_up == 1


def test_without_a_refusal_there_is_nothing_to_wait_for():
    assert seen(steady()).shed_ms(0.99) == 0.0
    assert seen([]).shed_ms(0.99) == 0.0
    assert math.isnan(seen([]).latency_ms(0.99))


def test_recovery_is_when_the_last_bad_quarter_of_a_second_is_over():
    assert seen(steady()).recovered_seconds(6.0) == 0.0
    refused = [row(0.1, status=503), row(2.6, status=503, retry=1)]
    assert seen([*steady(), *refused]).recovered_seconds(6.0) == 2.75
    slow = [row(3.1 + number / 1000, took=0.1) for number in range(10)]
    assert seen([*steady(), *slow]).recovered_seconds(6.0) == 3.25
    assert seen([*steady(), *slow]).recovered_seconds(150.0) == 0.0


def test_a_server_that_never_comes_back_has_not_recovered():
    assert seen([*steady(), row(9.9, status=503)]).recovered_seconds(6.0) == math.inf
