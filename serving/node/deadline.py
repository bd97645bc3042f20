"""How long one fetch may take: a deadline, and an eye on whether it gets anywhere.

Steps that may hang (a name that does not resolve, a share that is gone, a server that sends a byte
a minute) run on a thread of the fetch's own. Whoever waits for one stops waiting in time, whatever
the step does; the thread ends when its step does, and has nothing of the fetch's in its hands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from registry.errors import LostRace, Unreachable

T = TypeVar("T")

STALL_SECONDS = 20.0
STALL_BYTES_PER_SECOND = 2048
_LOOK_SECONDS = 0.1


class Deadline:
    """A context; leaving it ends its thread. Used by one thread at a time."""

    def __init__(
        self, seconds: float, *, clock: Callable[[], float], wanted: Callable[[], bool]
    ) -> None:
        """`clock` counts seconds; `wanted` may say at any time that nobody needs this any more."""
        self._seconds, self._clock, self._wanted = seconds, clock, wanted
        self._begun = self._looked_at = clock()
        self._gained = 0
        self._steps: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def __enter__(self) -> Self:
        """Start the thread; it is a daemon, since a step that hangs must not keep a process up."""
        threading.Thread(target=_run, args=(self._steps,), name="fetch-reader", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the thread end, now or when its step does."""
        self._steps.put(None)

    def wait_for(self, step: Callable[[], T], address: str) -> T:
        """What `step` returns or raises.

        Raises Unreachable naming `address` if time is up or too little comes, LostRace if the
        result is no longer wanted.
        """
        result: Future[T] = Future()
        self._check(address)
        self._steps.put(lambda: _fulfil(result, step))
        while not wait([result], timeout=_LOOK_SECONDS).done:
            self._check(address)
        return result.result()

    def later(self, step: Callable[[], object]) -> None:
        """Do `step` when the thread comes to it; nobody waits."""
        self._steps.put(step)  # type: ignore[arg-type]  # what it returns is dropped

    def gained(self, count: int) -> None:
        """So many bytes came."""
        self._gained += count

    def got_on(self) -> None:
        """A whole file came: many small ones are no stall, however few bytes they are."""
        self._looked_at, self._gained = self._clock(), 0

    def _check(self, address: str) -> None:
        now = self._clock()
        if not self._wanted():
            raise LostRace(f"{address}: another version is wanted by now")
        if now - self._begun >= self._seconds:
            raise Unreachable(
                f"{address}: not all there after {self._seconds:g} s (BATON_FETCH_SECONDS), given "
                "up; the next attempt goes on from here. Look at the store and the network"
            )
        if now - self._looked_at < STALL_SECONDS:
            return
        if self._gained < STALL_SECONDS * STALL_BYTES_PER_SECOND:
            raise Unreachable(
                f"{address}: only {self._gained} bytes in {STALL_SECONDS:g} s, given up; the next "
                "attempt goes on from here. Look at the store and the network"
            )
        self._looked_at, self._gained = now, 0


def _run(steps: SimpleQueue[Callable[[], None] | None]) -> None:
    while (step := steps.get()) is not None:
        step()


def _fulfil(result: Future[T], step: Callable[[], T]) -> None:
    try:
        result.set_result(step())
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        result.set_exception(error)
