"""A few threads, and a bounded number of requests that wait for one of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from registry.errors import Overloaded
from serving import metrics
from serving.answer import Answer

Work = Callable[[], Answer]
Then = Callable[[Answer | Exception, float], None]


class Crew:
    """Does what would take too long on the loop's thread. Used from that thread only."""

    def __init__(self, name: str, *, threads: int, most_waiting: int, niceness: int = 0) -> None:
        """`most_waiting` requests beside those that are being answered.

        Threads with a `niceness` let the loop's thread go first: it is short, and hears everybody.
        """
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=os.nice, initargs=(niceness,)
        )
        self._most_waiting = most_waiting
        self._at_work, self._most = threads, most_waiting + threads
        self._queued = metrics.QUEUED.labels(name)
        self._in_flight = metrics.IN_FLIGHT.labels(name)
        self._given = 0
        self._loop = asyncio.get_event_loop()

    def give(self, work: Work, *, until: float, then: Then) -> None:
        """Have a thread do it, unless that one comes to it later than `until`, by `monotonic`.

        `then` is called on the loop's thread, with the answer or what was raised, and the seconds
        it took. Raises Overloaded if too many wait already.
        """
        if self._given >= self._most:
            metrics.SHED.inc()
            raise Overloaded(f"{self._most_waiting} requests wait already; try again shortly")
        self._count(1)
        self._threads.submit(self._do, work, until, then)

    def close(self) -> None:
        """Let the threads end; what waits is not done any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Work, until: float, then: Then) -> None:
        begun = time.monotonic()
        result: Answer | Exception
        try:
            result = work() if begun <= until else too_late()
        except Exception as error:  # noqa: BLE001 - somebody waits for an answer
            result = error
        seconds = time.monotonic() - begun
        self._loop.call_soon_threadsafe(self._done, then, result, seconds)

    def _done(self, then: Then, result: Answer | Exception, seconds: float) -> None:
        self._count(-1)
        then(result, seconds)

    def _count(self, more: int) -> None:
        self._given += more
        self._in_flight.set(min(self._given, self._at_work))
        self._queued.set(max(self._given - self._at_work, 0))


def too_late() -> Overloaded:
    """What is said to a request whose time ran out before its turn came."""
    metrics.SHED.inc()
    return Overloaded("waited longer than the request allows; try again shortly")
