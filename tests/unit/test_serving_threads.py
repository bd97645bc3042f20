"""Threads that are there from the start."""

from __future__ import annotations

import os
import threading

from serving.threads import started


def named(name: str) -> int:
    return sum(thread.name.startswith(f"{name}_") for thread in threading.enumerate())


def test_all_threads_run_before_anything_is_asked_and_none_comes_later() -> None:
    pool = started(3, "there")
    try:
        assert named("there") == 3
        assert [pool.submit(int, text).result(10) for text in "123456"] == [1, 2, 3, 4, 5, 6]
        assert named("there") == 3
    finally:
        pool.shutdown()
    assert named("there") == 0


def test_they_give_way_as_far_as_they_are_told() -> None:
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    pool = started(1, "nice", niceness=3)
    try:
        theirs = pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert theirs.result(10) == min(19, mine + 3)
    finally:
        pool.shutdown()
