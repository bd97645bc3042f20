"""What is around a node and only counted: room on its disk, the queue of jobs, the age of its keys.

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

from registry.errors import BatonError, SettingsError
from registry.jobs import JobQueue, JobState
from serving import metrics
from serving.keys import KeyFile
from serving.threads import started

_log = logging.getLogger("serving.watcher")
_EVERY_SECONDS: Final = 10.0
_NICENESS: Final = 10


@dataclass
class Surroundings:
    """`home` is where versions are kept; without `queue` no jobs are counted."""

    home: Path
    keys: KeyFile
    queue: Callable[[], JobQueue] | None
    looker: Executor = field(
        default_factory=partial(started, 1, "surroundings", niceness=_NICENESS)
    )
    _looked_at: float = -math.inf
    _looking: Future[None] | None = None
    _undated: tuple[str, ...] = ()

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
        self._date()
        if self.queue:
            self._count(self.queue)

    def _date(self) -> None:
        """How old keys are; those of which the file does not say are named, once."""
        try:
            used = [key for key in self.keys.read() if not key.revoked]
        except SettingsError as error:
            _log.debug("how old keys are cannot be told: %s", error)
            used = []
        made = [key.made for key in used if key.made is not None]
        metrics.OLDEST_KEY.set(min(made, default=math.nan))
        undated = tuple(key.id for key in used if key.made is None)
        if undated and undated != self._undated:
            _log.warning("API keys of which nobody knows how old they are: %s", ", ".join(undated))
        self._undated = undated

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
