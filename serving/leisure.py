"""Computing at leisure: on a thread that runs only while nobody else wants its processor.

Lowering a thread takes no privilege, raising it again does: so each computation has a thread of its
own. It must be one that lets go of the interpreter: who holds that keeps every request waiting, and
must not itself wait for a processor.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")
_NICENESS = 5
_seconds: ContextVar[float] = ContextVar("seconds", default=0.0)


@contextmanager
def at_leisure(seconds: float) -> Iterator[None]:
    """Let this thread's block compute at leisure, each computation for so many seconds at most."""
    before = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(before)


def compute(work: Callable[[], _T]) -> _T:
    """The result of `work`, or what it raises; computed here where nothing else was said.

    Where requests leave no time for it, it is begun again by a thread that takes some from them,
    and what comes later is dropped.
    """
    seconds = _seconds.get()
    if not seconds:
        return work()
    idle = _begin(work, _only_when_idle)
    try:
        return idle.result(seconds)
    except TimeoutError:
        if idle.done():  # `work` itself raised it
            raise
    return _begin(work, _with_less).result()


def _begin(work: Callable[[], _T], give_way: Callable[[], None]) -> Future[_T]:
    """Have it computed by a thread of its own, which gives way first."""
    result: Future[_T] = Future()

    def compute_there() -> None:
        give_way()
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            result.set_exception(error)

    threading.Thread(target=compute_there, name="leisure", daemon=True).start()
    return result


def _only_when_idle() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _with_less() -> None:
    """A quarter of a processor that requests want all of, and all that they leave."""
    os.nice(_NICENESS)  # of this thread alone
