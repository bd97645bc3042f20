"""Carrying out a swap over all workers of a node: prepare, wait until all are ready, flip.

The only writer of the assignments and of the page's announcements and models. The order of the
writes is what keeps the promises: a crash between any two leaves either version serving, and a
restart takes the one that clients may already have seen. Swaps of different models may run at the
same time, on different threads; in one lane of the page they follow one another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from registry.errors import BundleInvalid, LostRace
from registry.ledger import Key
from serving.assignments import Assignment, Assignments, Held
from serving.page import LANES, MODELS, Page, Slot, lane, pack

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.005
# One worker may end for reasons of its own; a second one while loading is the version's fault.
_LOST_WORKERS = 2


class Flipper:
    """What the node serves, and the one way to change it."""

    def __init__(
        self,
        page: Page,
        assignments: Assignments,
        *,
        ready_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take up where the files and the page stand."""
        self._page = page
        self._assignments = assignments
        self._ready_seconds = ready_seconds
        self._sleep = sleep
        self._clock = clock
        self._models = assignments.models()
        self._lowest_free = 0
        self._unwritten: set[str] = set()
        self._lanes = [threading.Lock() for _ in range(LANES)]
        self._recover()

    @property
    def models(self) -> Mapping[str, Held]:
        """What the node holds, by model name, at this moment."""
        return dict(self._models)

    def held(self, model: str) -> Held:
        """What the node holds of a model."""
        return self._models.get(model) or Held(index=self._free_index())

    def expect(self, models: Iterable[str]) -> None:
        """Name models before they are loaded: until then they are "not ready", not "unknown"."""
        for name in models:
            if name not in self._models:
                self._show(name, self.held(name))

    def refuse(self, model: str, reason: str, key: Key | None = None) -> None:
        """Show why the node does not serve what it should (the entry `key`); what serves stays."""
        held = self.held(model)
        if (held.refused, held.refused_key) != (reason, key) or model in self._unwritten:
            self._show(model, dataclasses.replace(held, refused=reason, refused_key=key))

    def again(self, model: str) -> None:
        """Have workers that could not load what the model holds try again."""
        self._show(model, dataclasses.replace(self.held(model), refused="", refused_key=None))

    def forget(self, model: str) -> None:
        """Serve nothing of a model any more: this node is no longer meant to."""
        held = self._models.pop(model)
        self._lowest_free = min(self._lowest_free, held.index)
        self._page.flip(held.index, None)
        self._assignments.remove(held.index)
        self._page.announce(held.index)

    def retire(self, model: str, key: Key) -> None:
        """Answer for the model no more, from one instant on: entry `key` took it away.

        Raises OSError if that cannot be written; the model is then answered for as before.
        """
        index = self.held(model).index
        with self._lanes[lane(index)]:
            self._settle(model, Held(index=index, retired=key), None)

    def flip(self, aspired: Assignment, *, wanted: Callable[[], bool] = lambda: True) -> None:
        """Make `aspired` what answers in every worker, from one instant on.

        Raises BundleInvalid if a worker cannot load it, LostRace as soon as `wanted` says no,
        OSError if it cannot be written; the old version then goes on serving.
        """
        index = self.held(aspired.model).index
        if index >= MODELS:
            raise BundleInvalid(f"this node already serves {MODELS} models, the most it can")
        with self._lanes[lane(index)]:
            before = self.held(aspired.model)
            # `previous` is always what the page still says: a worker born in between can answer.
            # What was beside it is over with it.
            last = dataclasses.replace(before.current, arm=None) if before.current else None
            after = Held(index=index, current=aspired, previous=last)
            try:
                number = self._put(aspired.model, dataclasses.replace(before, preparing=aspired))
                self._await_workers(number, aspired, lane(index), wanted)
                self._settle(aspired.model, after, aspired.key)
            except (BundleInvalid, LostRace, OSError):
                self._show(aspired.model, before)
                raise

    def _settle(self, model: str, after: Held, key: Key | None) -> None:
        """On disk first: after a crash right behind the flip, the node must not come back lower."""
        self._assignments.write(model, after)
        self._models[model] = after
        self._unwritten.discard(model)
        self._page.flip(after.index, key)
        self._page.announce(after.index)

    def _await_workers(
        self, number: int, aspired: Assignment, at: int, wanted: Callable[[], bool]
    ) -> None:
        """Return when every live worker is ready; one that is late is ended and replaced.

        Workers load in turn, so the time counts anew from each that got ready.
        """
        deadline = self._clock() + self._ready_seconds
        ready: set[tuple[int, int]] = set()
        loading: set[tuple[int, int]] = set()
        while True:
            live = self._page.live_slots()
            if any(slot.failed[at] >= number for slot in live):
                raise BundleInvalid(f"a worker could not load {_versions(aspired)}; see its log")
            late = [slot for slot in live if slot.ready[at] < number]
            if not late:
                return
            if not wanted():
                raise LostRace(f"{aspired.model} v{aspired.version}: overtaken by a newer entry")
            now_ready = {slot.process for slot in live if slot.ready[at] >= number}
            if now_ready - ready:
                deadline = self._clock() + self._ready_seconds
            ready |= now_ready
            loading = (loading | {slot.process for slot in late}) - ready
            if len(loading - {slot.process for slot in late}) >= _LOST_WORKERS:
                raise BundleInvalid(f"workers ended while they loaded {_versions(aspired)}")
            if self._clock() > deadline:
                _end(late, aspired)
                deadline = self._clock() + self._ready_seconds
            self._sleep(_LOOK_SECONDS)

    def _recover(self) -> None:
        """Bring page and files together after a crash or a restart."""
        keys = {held.index: held.current.key for held in self._models.values() if held.current}
        for index, word in enumerate(self._page.currents()):
            key = keys.get(index)
            if word != (pack(key) if key else 0):
                self._page.flip(index, key)
        for name, held in list(self._models.items()):
            if held.preparing:
                self._show(name, dataclasses.replace(held, preparing=None))
            else:
                self._page.announce(held.index)

    def _put(self, model: str, held: Held) -> int:
        """Replace a model's file and tell the workers; returns the announcement's number."""
        if held.index >= MODELS:
            return 0
        self._models[model] = held
        self._assignments.write(model, held)
        self._unwritten.discard(model)
        return self._page.announce(held.index)

    def _show(self, model: str, held: Held) -> None:
        """`_put` where nothing that serves hangs on it: a full disk must not end the watcher."""
        try:
            self._put(model, held)
        except OSError as error:
            _log.error("%s: what the node holds of it cannot be written: %s", model, error)
            self._unwritten.add(model)
            self._page.announce(held.index)

    def _free_index(self) -> int:
        """The lowest index that no model has; MODELS if there is none."""
        taken = {held.index for held in self._models.values()}
        while self._lowest_free in taken:
            self._lowest_free += 1
        return self._lowest_free


def _versions(aspired: Assignment) -> str:
    return " and ".join(f"v{one.version}" for one in aspired.versions)


def _end(late: list[Slot], aspired: Assignment) -> None:
    """End workers that did not get ready: gunicorn starts others, which load before they accept."""
    for slot in late:
        _log.error(
            "worker %s did not load %s v%s in time; ending it",
            slot.pid,
            aspired.model,
            aspired.version,
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)
