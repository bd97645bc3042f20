"""Computing at leisure: by a thread that gives way, or takes a little when it got no time."""

from __future__ import annotations

import os
import threading

import pytest

from serving.leisure import at_leisure, compute

LONG = 60.0


def where() -> tuple[int, int]:
    return threading.get_native_id(), os.sched_getscheduler(0)


def test_without_leisure_it_is_computed_here() -> None:
    assert compute(where) == (threading.get_native_id(), os.SCHED_OTHER)


def test_at_leisure_a_thread_computes_it_that_gives_way_to_everybody() -> None:
    with at_leisure(LONG):
        thread, policy = compute(where)
    assert policy == os.SCHED_IDLE
    assert thread != threading.get_native_id()
    assert compute(where) == (threading.get_native_id(), os.SCHED_OTHER), "the block has ended"


def test_another_thread_is_not_at_leisure() -> None:
    seen: list[tuple[int, int]] = []
    with at_leisure(LONG):
        other = threading.Thread(target=lambda: seen.append(compute(where)))
        other.start()
        other.join()
    assert seen[0][1] == os.SCHED_OTHER


@pytest.mark.parametrize("error", [ValueError("no such file"), TimeoutError("of its own")])
def test_what_it_raises_is_raised_here(error: Exception) -> None:
    times: list[int] = []

    def fail() -> None:
        times.append(1)
        raise error

    with at_leisure(LONG), pytest.raises(type(error), match=str(error)):
        compute(fail)
    assert len(times) == 1


def test_where_it_gets_no_time_it_is_begun_again_by_a_thread_that_takes_some() -> None:
    """Not as much as who answers requests."""
    never = threading.Event()

    def work() -> tuple[int, int]:
        if os.sched_getscheduler(0) == os.SCHED_IDLE:
            never.wait(LONG)
        return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)

    mine = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        with at_leisure(0.05):
            policy, niceness = compute(work)
    finally:
        never.set()
    assert (policy, niceness) == (os.SCHED_OTHER, min(mine + 5, 19))
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine


def test_what_it_raises_the_second_time_is_raised_here() -> None:
    never = threading.Event()

    def work() -> None:
        if os.sched_getscheduler(0) == os.SCHED_IDLE:
            never.wait(LONG)
        raise ValueError("no such file")

    try:
        with at_leisure(0.05), pytest.raises(ValueError, match="no such file"):
            compute(work)
    finally:
        never.set()
