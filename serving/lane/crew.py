"""A few threads, and a bounded number of requests that wait for one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from registry.errors import Overloaded
from serving import metrics
from serving.answer import Answer
from serving.deadline import begun_by, too_late
from serving.threads import started

Work = Callable[[], Answer]
Then = Callable[[Answer | Exception, float], None]

# Nobody is let in who would wait longer, unless it is for as long as one answer takes.
_MOST_SECONDS: Final = 0.25
_WEIGHT: Final = 0.1


class Crew:
    """Does what would take too long on the loop's thread. Used from that thread only."""

    def __init__(self, name: str, *, threads: int, most_waiting: int, niceness: int = 0) -> None:
        """`most_waiting` requests beside those that are being answered.

        Threads with a `niceness` let the loop's thread go first: it is short, and hears everybody.
        """
        self._threads = started(threads, name, niceness=niceness)
        self._at_work, self._most_waiting = threads, most_waiting
        self._queued = metrics.QUEUED.labels(name)
        self._in_flight = metrics.IN_FLIGHT.labels(name)
        self._given = 0
        self._pace = _Pace()
        self._loop = asyncio.get_event_loop()

    def give(self, work: Work, *, until: float, then: Then) -> None:
        """Have a thread do it, unless that one comes to it later than `until`, by `monotonic`.

        `then` is called on the loop's thread, with the answer or what was raised, and the seconds
        it took. Raises Overloaded if too many wait already.
        """
        waiting = self._given - self._at_work
        if waiting >= self._most_waiting or (
            waiting >= self._at_work and waiting * self._pace.seconds > _MOST_SECONDS
        ):
            metrics.SHED.inc()
            raise Overloaded(f"{waiting} requests wait already; try again shortly")
        self._count(1)
        self._threads.submit(self._do, work, until, then)

    def close(self) -> None:
        """Let the threads end; what waits is not done any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Work, until: float, then: Then) -> None:
        begun = time.monotonic()
        result: Answer | Exception
        try:
            with begun_by(until):
                result = work() if begun <= until else too_late()
        except Exception as error:  # noqa: BLE001 - somebody waits for an answer
            result = error
        seconds = time.monotonic() - begun
        self._loop.call_soon_threadsafe(self._done, then, result, seconds)

    def _done(self, then: Then, result: Answer | Exception, seconds: float) -> None:
        self._pace.step(is_full=self._given > self._at_work)
        self._count(-1)
        then(result, seconds)

    def _count(self, more: int) -> None:
        self._given += more
        self._in_flight.set(min(self._given, self._at_work))
        self._queued.set(max(self._given - self._at_work, 0))


class _Pace:
    """How long it lately was from one answer to the next, while requests waited; 0 if unknown."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.seconds = 0.0
        self._seen = 0
        self._last: float | None = None

    def step(self, *, is_full: bool) -> None:
        """One more was answered, and if `is_full` another one is begun at once."""
        now = time.monotonic()
        if self._last is not None:
            self._seen += 1
            self.seconds += (now - self._last - self.seconds) * max(_WEIGHT, 1 / self._seen)
        self._last = now if is_full else None
