"""What is around a node and only counted: the room on its disk, and the queue of jobs.

Looked at every few seconds, on a thread of its own: neither a slow disk nor a database that is away
delays the watcher.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from registry.errors import BatonError
from registry.jobs import JobQueue, JobState
from serving import metrics
from serving.threads import started

_log = logging.getLogger("serving.watcher")
_EVERY_SECONDS: Final = 10.0
_NICENESS: Final = 10


@dataclass
class Surroundings:
    """`home` is where versions are kept; without `queue` no jobs are counted."""

    home: Path
    queue: Callable[[], JobQueue] | None
    looker: Executor = field(
        default_factory=partial(started, 1, "surroundings", niceness=_NICENESS)
    )
    _looked_at: float = -math.inf
    _looking: Future[None] | None = None

    def look(self, now: float) -> None:
        """Have a look if it is time, and the last one is over; `now` is a monotonic clock's."""
        if now - self._looked_at < _EVERY_SECONDS or (self._looking and not self._looking.done()):
            return
        self._looked_at = now
        self._looking = self.looker.submit(self._look)

    def close(self) -> None:
        """Look no more."""
        self.looker.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        try:
            metrics.DISK_FREE.set(shutil.disk_usage(self.home).free)
        except OSError as error:
            _log.warning("how much room there is cannot be told: %s", error)
        if self.queue:
            self._count(self.queue)

    def _count(self, queue: Callable[[], JobQueue]) -> None:
        """What is not known is no number: an old one would look like the queue's."""
        queued = running = math.nan
        try:
            seen = queue().look()
            queued, running = seen.queued, len(seen.running)
        except BatonError as error:
            _log.debug("the queue of jobs could not be looked at: %s", error)
        metrics.JOBS.labels(JobState.QUEUED.value).set(queued)
        metrics.JOBS.labels(JobState.RUNNING.value).set(running)
