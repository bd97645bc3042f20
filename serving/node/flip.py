"""Carrying out a swap over all workers of a node: prepare, wait until all are ready, flip.

The only writer of the assignments file and of the page's generation and models. The order of the
writes is what keeps the promises: a crash between any two leaves either version serving, and a
restart takes the one that clients may already have seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from registry.errors import BundleInvalid
from serving.assignments import Assignment, Assignments, Held
from serving.page import MODELS, Page, Slot, pack

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.005
# One worker may end for reasons of its own; a second one while loading is the version's fault.
_LOST_WORKERS = 2


class Flipper:
    """What the node serves, and the one way to change it."""

    def __init__(
        self,
        page: Page,
        path: Path,
        *,
        ready_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take up where the file and the page stand; `path` is the assignments file."""
        self._page = page
        self._path = path
        self._ready_seconds = ready_seconds
        self._sleep = sleep
        self._clock = clock
        self.assignments = Assignments.read(path)
        self._recover()

    def held(self, model: str) -> Held:
        """What the node holds of a model."""
        found = self.assignments.models.get(model)
        return found or Held(index=len(self.assignments.models))

    def expect(self, models: Iterable[str]) -> None:
        """Name models before they are loaded: until then they are "not ready", not "unknown"."""
        known = self.assignments.models
        new = [name for name in dict.fromkeys(models) if name not in known]
        if new:
            added = {name: Held(index=len(known) + n) for n, name in enumerate(new)}
            self._replace({**known, **added})
            self._page.announce(self.assignments.generation)

    def refuse(self, model: str, reason: str) -> None:
        """Show why the node does not serve what the ledger names; what serves stays."""
        held = self.held(model)
        if held.refused != reason:
            self._write(model, dataclasses.replace(held, refused=reason))

    def again(self, model: str) -> None:
        """Have workers that could not load what the model holds try again."""
        self._write(model, dataclasses.replace(self.held(model), refused=""))

    def flip(self, aspired: Assignment) -> None:
        """Make `aspired` what answers in every worker, from one instant on.

        Raises BundleInvalid if a worker cannot load it; the old version then goes on serving.
        """
        before = self.held(aspired.model)
        if before.index >= MODELS:
            raise BundleInvalid(f"this node already serves {MODELS} models, the most it can")
        generation = self._write(aspired.model, dataclasses.replace(before, preparing=aspired))
        try:
            self._await_workers(generation, aspired)
        except BundleInvalid:
            self._write(aspired.model, before)
            raise
        # On disk first: after a crash right behind the flip, the node must not come back lower.
        # `previous` is always what the page still says: a worker born in between can answer.
        after = Held(index=before.index, current=aspired, previous=before.current)
        self._replace({**self.assignments.models, aspired.model: after})
        self._page.flip(after.index, aspired.key)
        self._page.announce(self.assignments.generation)

    def _await_workers(self, generation: int, aspired: Assignment) -> None:
        """Return when every live worker is ready; one that is late is ended and replaced.

        Workers load in turn, so the time counts anew from each that got ready.
        """
        deadline = self._clock() + self._ready_seconds
        ready: set[tuple[int, int]] = set()
        loading: set[tuple[int, int]] = set()
        while True:
            live = self._page.live_slots()
            if any(slot.failed >= generation for slot in live):
                raise BundleInvalid(f"a worker could not load v{aspired.version}; see its log")
            late = [slot for slot in live if slot.ready < generation]
            if not late:
                return
            now_ready = {slot.process for slot in live if slot.ready >= generation}
            if now_ready - ready:
                deadline = self._clock() + self._ready_seconds
            ready |= now_ready
            loading = (loading | {slot.process for slot in late}) - ready
            if len(loading - {slot.process for slot in late}) >= _LOST_WORKERS:
                raise BundleInvalid(f"workers ended while they loaded v{aspired.version}")
            if self._clock() > deadline:
                _end(late, generation)
                deadline = self._clock() + self._ready_seconds
            self._sleep(_LOOK_SECONDS)

    def _recover(self) -> None:
        """Bring page and file together after a crash or a restart."""
        keys = {h.index: h.current.key for h in self.assignments.models.values() if h.current}
        for index in range(MODELS):
            key = keys.get(index)
            if self._page.current(index) != (pack(key) if key else 0):
                self._page.flip(index, key)
        if any(held.preparing for held in self.assignments.models.values()):
            self.assignments = Assignments(
                self.assignments.generation,
                {
                    name: dataclasses.replace(held, preparing=None)
                    for name, held in self.assignments.models.items()
                },
            )
        self.assignments = dataclasses.replace(
            self.assignments, generation=self.assignments.generation + 1
        )
        self.assignments.write(self._path)
        self._page.announce(self.assignments.generation)

    def _write(self, model: str, held: Held) -> int:
        """Replace the file and tell the workers; returns the new generation."""
        self._replace({**self.assignments.models, model: held})
        self._page.announce(self.assignments.generation)
        return self.assignments.generation

    def _replace(self, models: Mapping[str, Held]) -> None:
        self.assignments = Assignments(self.assignments.generation + 1, models)
        self.assignments.write(self._path)


def _end(late: list[Slot], generation: int) -> None:
    """End workers that did not get ready: gunicorn starts others, which load before they accept."""
    for slot in late:
        _log.error("worker %s did not load generation %s in time; ending it", slot.pid, generation)
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)
