"""The manager of one worker: which servable answers a request, and what is loaded beside it.

A request takes its servable once and keeps it. Which one that is says the page, at that instant,
for all workers. `follow()` runs on a thread of its own: it has loaded what the watcher prepares,
says ready, and frees what is no longer named once its last request is done.

Without a memory budget everything named is loaded ahead. With one, a model is loaded at its first
use, by the request that needs it: that one waits for its own load, others for nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from registry.errors import NotReady
from registry.ledger import Role
from serving import metrics
from serving.assignments import Assignment, Assignments, Held
from serving.first_use import FirstUses
from serving.page import Page, pack
from serving.residents import Identity, Loader, Resident, Residents
from serving.servable import Servable
from serving.table import Row, Served, Serving, absence, meant
from serving.threads import started

_log = logging.getLogger(__name__)
_FOLLOW_SECONDS = 0.01
_PATIENCE_SECONDS = 1.0
_STOP_SECONDS = 5.0
_LOADERS = 4


class Manager:
    """The servables of one worker, kept as the assignments say."""

    def __init__(
        self,
        page: Page,
        assignments: Assignments,
        load: Loader,
        *,
        slot: int,
        residents: Residents | None = None,
        pinned: Collection[str] = (),
        most_first_uses: int = 3,
    ) -> None:
        """Nothing is loaded before `reconcile`; `pinned` models are always loaded ahead."""
        self._page, self._assignments, self._load = page, assignments, load
        self.slot, self._residents = slot, residents or Residents()
        self._pinned = frozenset(pinned)
        self._first_uses = FirstUses(most_first_uses)
        self._table: dict[str, Row] = {}
        self._names: dict[int, str] = {}
        self._announced, self._seen = -1, dict[int, int]()
        self._loading: set[Identity] = set()
        self._failed: dict[Identity, int] = {}
        self._lock = threading.RLock()
        self._run: Callable[[Callable[[], None]], object] = lambda work: work()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_lazy(self) -> bool:
        """Whether models are loaded at their first use."""
        return self._residents.budget_mb > 0

    def models(self) -> Mapping[str, Served]:
        """Every model with what the node holds of it and what answers now."""
        return {name: self._served(name, row) for name, row in list(self._table.items())}

    @property
    def only(self) -> str:
        """The model of this node, if it has one and no other; else empty."""
        table = self._table
        return next(iter(table)) if len(table) == 1 else ""

    def meant(self, name: str) -> str:
        """See `table.meant`."""
        return meant(self._table, name)

    def ticker(self, model: str) -> str:
        """What the model of this name forecasts; empty where nobody says so."""
        row = self._table.get(model)
        return row.ticker if row else ""

    def loaded(self, model: str, *, alone: bool = False) -> Servable | None:
        """What would answer now, if it is loaded here; nobody keeps it so.

        `alone`: unless a request could as well be answered by the other arm of a split.
        """
        row = self._table.get(model)
        assignment = row.by_key.get(self._page.current(row.held.index)) if row else None
        if assignment is None or (alone and assignment.arm_name):
            return None
        resident = self._residents.get((model, assignment.digest))
        return resident.servable if resident else None

    def acquire(self, model: str) -> Serving:
        """What answers for `model` now; a context manager that keeps it loaded.

        Raises UnknownModel, or NotReady if nothing is in Production or this worker is behind.
        """
        assignment, resident = self._find(model)
        return Serving(assignment, resident or self._first_use(assignment))

    def beside(self, arm: Assignment) -> Serving | None:
        """The arm of what was acquired; None where it is not loaded here, and cannot be."""
        resident = self._residents.get((arm.model, arm.digest))
        if resident is None and self.is_lazy:
            row = self._table.get(arm.model)
            with suppress(NotReady):
                resident = self._first_use(arm) if row and arm in row.held else None
        return Serving(arm, resident) if resident else None

    def answering(self, model: str) -> Assignment:
        """What would answer for `model` now; loads nothing. Raises as `acquire` does."""
        return self._find(model)[0]

    def reconcile(self) -> bool:
        """Have loaded and forget what the assignments ask for; True if anything was announced."""
        announced = self._page.announced
        if announced == self._announced:
            self._residents.free()
            return False
        for index, number in enumerate(self._page.changes()):
            if number != self._seen.get(index, 0):
                self._take(index, number)
        self._announced = announced
        return True

    def follow(self) -> None:
        """Start the thread that reconciles until `stop`; from now on loads have their own."""
        self._run = started(_LOADERS, "load").submit
        self._thread = threading.Thread(target=self._follow, name="manager", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the following thread; a load that is under way may outlast the wait for it."""
        self._stop.set()
        if self._thread:
            self._thread.join(_STOP_SECONDS)

    def _follow(self) -> None:
        while not self._stop.wait(_FOLLOW_SECONDS):
            try:
                self.reconcile()
            except Exception:  # noqa: BLE001 - the thread must outlive any one bad file
                _log.exception("this worker could not follow the node's assignments")
                self._stop.wait(1.0)

    def _served(self, name: str, row: Row) -> Served:
        answering = row.by_key.get(self._page.current(row.held.index))
        resident = self._residents.get((name, answering.digest)) if answering else None
        if not resident and not self.is_lazy:
            answering = None
        return Served(row.held, answering, resident.servable if resident else None)

    def _find(self, model: str) -> tuple[Assignment, Resident | None]:
        """What the page says now; a table read just before a flip is read again."""
        deadline = 0.0
        while True:
            row = self._table.get(model)
            word = self._page.current(row.held.index) if row else 0
            assignment = row.by_key.get(word) if row else None
            resident = self._residents.get((model, assignment.digest)) if assignment else None
            if assignment and (resident or self.is_lazy):
                return assignment, resident
            if not word:
                break
            now = time.monotonic()
            deadline = deadline or now + _PATIENCE_SECONDS
            if now > deadline:
                break
            time.sleep(0.002)
        raise absence(self._table, model)

    def _first_use(self, assignment: Assignment) -> Resident:
        identity = (assignment.model, assignment.digest)
        return self._first_uses.of(
            identity,
            find=lambda: self._residents.get(identity),
            load=lambda: self._loaded(assignment),
        )

    def _take(self, index: int, number: int) -> None:
        """Go by what a model's file says now, as far as it is loaded; load the rest, come again."""
        with self._lock:
            found = self._assignments.read(index)
            self._seen[index] = number
            if found is None or self._names.get(index, found[0]) != found[0]:
                self._drop(index)
            if found is None:
                return
            name, held = found
            self._names[index] = name
            missing = [
                one
                for one in self._ahead(held)
                if self._residents.get((name, one.digest)) is None
                and self._failed.get((name, one.digest)) != number
            ]
            if not missing or name not in self._table:
                self._publish(name, held)
            for one in missing:
                if (name, one.digest) not in self._loading:
                    self._loading.add((name, one.digest))
                    self._run(lambda one=one: self._prepare(index, one, number))  # type: ignore[misc]
            if not missing and held.preparing:
                self._say(index, number, held.preparing)

    def _ahead(self, held: Held) -> Iterator[Assignment]:
        """What must be loaded before a request asks for it."""
        preparing = held.preparing.versions if held.preparing else ()
        for one in held:
            used = one in preparing and self._residents.of(one.model)
            if not self.is_lazy or used or (one.model in self._pinned and one != held.previous):
                yield one

    def _prepare(self, index: int, assignment: Assignment, number: int) -> None:
        """Load one version beside what serves, one worker of the node at a time."""
        identity = (assignment.model, assignment.digest)
        try:
            with self._load.turn(assignment):
                loaded = self._loaded(assignment)
        except OSError as error:  # no file for the turn, on a disk without room
            _log.error("%s: cannot wait for its turn to load: %s", assignment.model, error)
            loaded = None
        if loaded is None:
            self._failed[identity] = number
        with self._lock:
            self._loading.discard(identity)
            try:
                self._take(index, self._page.changes()[index])
            except Exception:  # noqa: BLE001 - nobody would hear of it
                _log.exception("this worker could not follow")

    def _say(self, index: int, number: int, preparing: Assignment) -> None:
        wanted = ((one.model, one.digest) for one in preparing.versions)
        failed = any(self._failed.get(one) == number for one in wanted)
        (self._page.say_failed if failed else self._page.say_ready)(self.slot, index, number)

    def _publish(self, name: str, held: Held) -> None:
        by_key = {pack(one.key): one for one in held if one.role is Role.SERVE}
        self._table = {**self._table, name: Row(held, by_key)}
        self._residents.keep_only(name, {one.digest for one in held})
        answering = self._table[name].by_key.get(self._page.current(held.index))
        metrics.WORKER_VERSION.labels(name, self.slot).set(answering.version if answering else 0)
        self._failed = {
            one: number
            for one, number in self._failed.items()
            if one[0] != name or any(one[1] == other.digest for other in held)
        }

    def _drop(self, index: int) -> None:
        """This node serves the model no more."""
        if (name := self._names.pop(index, None)) is not None:
            self._table = {other: row for other, row in self._table.items() if other != name}
            metrics.WORKER_VERSION.labels(name, self.slot).set(0)
            self._residents.keep_only(name, ())

    def _loaded(self, assignment: Assignment) -> Resident | None:
        """The loaded version, loading it if it is not; None if that fails."""
        identity = (assignment.model, assignment.digest)
        if resident := self._residents.get(identity):
            return resident
        try:
            cost_mb = self._load.cost_mb(assignment)
            self._residents.make_room(cost_mb, first=self._is_previous, never=self._kept)
            return self._residents.add(identity, self._load(assignment), cost_mb)
        except Exception as error:  # noqa: BLE001 - it must end neither this thread nor a birth
            _log.error(
                "cannot load: %s: %s",
                type(error).__name__,
                error,
                extra={
                    "model": assignment.model,
                    "version": assignment.version,
                    "seq": str(assignment.key),
                },
            )
            return None

    def _is_previous(self, identity: Identity) -> bool:
        row = self._table.get(identity[0])
        answers = row and row.by_key.get(self._page.current(row.held.index))
        return not answers or all(one.digest != identity[1] for one in answers.versions)

    def _kept(self) -> set[Identity]:
        """What is not let go for others: pinned models, and what a swap waits for."""
        swaps = (row.held.preparing for row in self._table.values())
        kept = [version for one in swaps if one for version in one.versions]
        for name in self._pinned & self._table.keys():
            kept += replace(self._table[name].held, previous=None)
        return {(one.model, one.digest) for one in kept}
