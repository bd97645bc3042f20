"""The desks where routes ask a database: few at once, and never a prediction.

A database may be slow or away: those who ask wait for it on threads of their own, a bounded number.
It is opened by the first one who asks: a worker that is never asked never loads what it takes to
reach one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from registry.errors import NotReady, Overloaded, SettingsError, Unreachable

T = TypeVar("T")
# What may wait for a database, by the start of its path; each kind on threads of its own.
JOB: Final = "job"
FEEDBACK: Final = "feedback"
PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    JOB: ("/train", "/predict-custom", "/jobs"),
    FEEDBACK: ("/feedback",),
}
_log = logging.getLogger(__name__)


class Desk(Generic[T]):
    """Of one worker. `at_once` requests may wait for the database, the next one is turned away."""

    def __init__(
        self,
        open_it: Callable[[], T] | None,
        *,
        noun: str,
        away: type[NotReady],
        at_once: int,
    ) -> None:
        """Without `open_it` nothing can be asked here. `noun` is what is asked, for messages."""
        self.at_once = at_once
        self._open, self._noun, self._away = open_it, noun, away
        self._opened: T | None = None
        self._opening = threading.Lock()
        self._room = threading.BoundedSemaphore(at_once)

    @contextmanager
    def asked(self) -> Iterator[T]:
        """What lies in the database, for one request. Raises `away`, or Overloaded."""
        noun = self._noun
        if not self._room.acquire(blocking=False):
            raise Overloaded(f"{self.at_once} requests wait for the {noun}; try again soon")
        try:
            yield self._reached()
        except (SettingsError, Unreachable) as error:
            _log.warning("%s", error)
            raise self._away(f"the {noun} cannot be reached; try again shortly") from error
        finally:
            self._room.release()

    def _reached(self) -> T:
        if self._open is None:
            raise self._away(f"this server was started without a {self._noun}")
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened
