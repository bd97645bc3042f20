"""The loaded versions of one worker, within a memory budget.

A version counts its requests, so that it leaves only between them, and is freed by the thread that
keeps house, never by a request. Least recently used goes first; a version kept for a way back goes
before one that answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from serving import metrics
from serving.assignments import Assignment
from serving.servable import Servable

_REST_SECONDS = 0.05  # a request that found a version may not have counted itself yet
Identity = tuple[str, str]  # model name and digest: two models of the same bytes are two servables


class Loader(Protocol):
    """Makes servables of assignments."""

    def __call__(self, assignment: Assignment) -> Servable:
        """Verify, load and warm a version. Raises BundleInvalid."""

    def cost_mb(self, assignment: Assignment) -> float:
        """About how much memory it takes once loaded."""

    def turn(self, assignment: Assignment) -> AbstractContextManager[object]:
        """Wait until no other worker of the node prepares this model."""


@dataclass(eq=False)
class Resident:
    """A loaded servable with the number of requests that use it now."""

    servable: Servable
    cost_mb: float = 0.0
    users: int = 0
    used_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Residents:
    """What is loaded. `budget_mb` 0 is no limit; times are seconds of `clock`.

    A swap costs as much among a thousand models as among two: nothing but `make_room`, which has a
    budget to keep, looks at all of them. `megabytes` is what all of it is reckoned to take.
    """

    budget_mb: float = 0.0
    clock: Callable[[], float] = time.monotonic
    megabytes: float = 0.0
    _loaded: dict[Identity, Resident] = field(default_factory=dict)
    _digests: dict[str, set[str]] = field(default_factory=dict)
    _leaving: list[tuple[Resident, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, identity: Identity) -> Resident | None:
        """The version if it is loaded; takes no lock."""
        return self._loaded.get(identity)

    def of(self, model: str) -> bool:
        """Whether any version of a model is loaded."""
        return bool(self._digests.get(model))

    def add(self, identity: Identity, servable: Servable, cost_mb: float) -> Resident:
        """Keep a version that was just loaded."""
        with self._lock:
            added = Resident(servable, cost_mb, used_at=self.clock())
            kept = self._loaded.setdefault(identity, added)
            if kept is added:
                self._digests.setdefault(identity[0], set()).add(identity[1])
                self._weigh(cost_mb)
        return kept

    def keep_only(self, model: str, digests: Collection[str]) -> None:
        """Let every other version of a model go."""
        with self._lock:
            gone = self._digests.get(model, set()) - set(digests)
        self._let_go([(model, digest) for digest in gone])

    def make_room(
        self,
        cost_mb: float,
        *,
        first: Callable[[Identity], bool],
        never: Callable[[], Collection[Identity]],
    ) -> None:
        """Let versions go until `cost_mb` more fit: those that are `first`, then the oldest.

        What answers a request at this moment stays; so the budget may be exceeded for a while.
        """
        if not self.budget_mb:
            return
        over = self.megabytes + cost_mb - self.budget_mb
        kept = never()
        loaded = [one for one in list(self._loaded.items()) if one[0] not in kept]
        for identity, resident in sorted(loaded, key=lambda o: (not first(o[0]), o[1].used_at)):
            if over <= 0:
                return
            if not resident.users:
                over -= resident.cost_mb
                metrics.EVICTIONS.inc()
                self._let_go([identity])

    def free(self) -> None:
        """Drop versions that left, here and not in the request that used them last."""
        rested = self.clock() - _REST_SECONDS
        with self._lock:
            self._leaving = [(one, at) for one, at in self._leaving if one.users or at > rested]

    def _let_go(self, identities: Iterable[Identity]) -> None:
        with self._lock:
            for identity in identities:
                if resident := self._loaded.pop(identity, None):
                    self._digests[identity[0]].discard(identity[1])
                    if not self._digests[identity[0]]:
                        del self._digests[identity[0]]
                    self._leaving.append((resident, self.clock()))
                    self._weigh(-resident.cost_mb)

    def _weigh(self, more_mb: float) -> None:
        self.megabytes = self.megabytes + more_mb if self._loaded else 0.0
        metrics.RESIDENT_BYTES.set(self.megabytes * 2**20)
