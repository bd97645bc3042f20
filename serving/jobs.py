"""The desk where routes ask for jobs: few at once, and never a prediction.

The queue lies in a database, which may be slow or away: those who ask wait for it on threads of
their own, a bounded number. It is opened by the first one who asks: a worker that never hears of a
job never loads what it takes to reach a database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from registry.errors import JobsAway, Overloaded, SettingsError, Unreachable
from registry.jobs import JobQueue

OpenQueue = Callable[[], JobQueue]
# What is about jobs, by the start of its path: it may wait for a database.
PATHS: Final = ("/train", "/predict-custom", "/jobs")
_log = logging.getLogger(__name__)


class Desk:
    """Of one worker. `at_once` requests may wait for the queue, the next one is turned away."""

    def __init__(self, open_queue: OpenQueue | None, *, at_once: int) -> None:
        """Without `open_queue` there are no jobs here."""
        self.at_once = at_once
        self._open = open_queue
        self._queue: JobQueue | None = None
        self._opening = threading.Lock()
        self._room = threading.BoundedSemaphore(at_once)

    @contextmanager
    def asked(self) -> Iterator[JobQueue]:
        """The queue, for one request. Raises JobsAway, or Overloaded where too many wait."""
        if not self._room.acquire(blocking=False):
            raise Overloaded(f"{self.at_once} requests wait for the queue of jobs; try again soon")
        try:
            yield self._opened()
        except (SettingsError, Unreachable) as error:
            _log.warning("%s", error)
            raise JobsAway("the queue of jobs cannot be reached; try again shortly") from error
        finally:
            self._room.release()

    def _opened(self) -> JobQueue:
        if self._open is None:
            raise JobsAway("this server was started without a queue of jobs")
        with self._opening:
            self._queue = self._queue or self._open()
            return self._queue
