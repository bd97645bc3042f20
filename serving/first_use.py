"""First uses: a request that finds its version not loaded loads it, once, and only so many wait.

A waiting request keeps one of the worker's threads. So that requests for other models always find
one, those beyond a bound are told to come again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from registry.errors import NotReady
from serving import metrics
from serving.residents import Identity, Resident

_RETRY_SECONDS = 5.0


@dataclass
class FirstUses:
    """At most `at_once` requests of this worker load or wait for a load; times in seconds."""

    at_once: int
    clock: Callable[[], float] = time.monotonic
    _waiting: threading.Semaphore = field(init=False)
    _turns: dict[Identity, threading.Lock] = field(default_factory=dict)
    _failed_at: dict[Identity, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the waiting ones."""
        self._waiting = threading.Semaphore(self.at_once)

    def of(
        self,
        identity: Identity,
        find: Callable[[], Resident | None],
        load: Callable[[], Resident | None],
    ) -> Resident:
        """What `find` has by now, or what `load` makes. Raises NotReady."""
        if not self._waiting.acquire(blocking=False):
            raise NotReady(f"{identity[0]}: waits for other models that are being loaded")
        try:
            with self._turns.setdefault(identity, threading.Lock()):
                return find() or self._load(identity, load)
        finally:
            self._waiting.release()

    def _load(self, identity: Identity, load: Callable[[], Resident | None]) -> Resident:
        tried = self._failed_at.get(identity)
        if tried is not None and self.clock() < tried + _RETRY_SECONDS:
            raise NotReady(f"{identity[0]}: its version could not be loaded; see the log")
        metrics.FIRST_USES.inc()
        resident = load()
        self._turns.pop(identity, None)
        if resident is None:
            self._failed_at[identity] = self.clock()
            raise NotReady(f"{identity[0]}: its version could not be loaded; see the log")
        self._failed_at.pop(identity, None)
        return resident
