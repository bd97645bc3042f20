"""A server and its load on processors of their own: neither takes anything from the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.node import CommandFailed


def apart() -> tuple[int, int]:
    """One for the server, one for the load; raises CommandFailed where there is only one."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        raise CommandFailed("two processors are needed: one for the server, one for the load")
    return found[0], found[-1]


@contextmanager
def on(processor: int) -> Iterator[None]:
    """What this thread starts in the block stays on one processor; so does this thread, in it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
