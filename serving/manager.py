"""The manager of one worker: which servable answers a request, and what is loaded beside it.

A request takes its servable once and keeps it. Which one that is says the page, at that instant,
for all workers. `follow()` runs on a thread of its own: it loads what the watcher prepares, says
ready, and frees what is no longer named once its last request is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import NotReady, UnknownModel
from serving.assignments import Assignment, Assignments, Held
from serving.page import Page, pack
from serving.servable import Servable

_log = logging.getLogger(__name__)
_FOLLOW_SECONDS = 0.01
_PATIENCE_SECONDS = 1.0
_STOP_SECONDS = 5.0
Loader = Callable[[Assignment], Servable]


@dataclass(eq=False)
class Resident:
    """A loaded servable with the number of requests that use it now."""

    servable: Servable
    users: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Serving:
    """What one request was given: an assignment, its servable, and nothing that can change."""

    assignment: Assignment
    resident: Resident

    @property
    def servable(self) -> Servable:
        """The loaded version."""
        return self.resident.servable


@dataclass(frozen=True)
class _Row:
    """One model in the table that requests read: its word in the page, and what is loaded."""

    held: Held
    by_key: Mapping[int, Serving]


class Manager:
    """The servables of one worker, kept as the assignments file says."""

    def __init__(self, page: Page, path: Path, load: Loader, *, slot: int) -> None:
        """Nothing is loaded before `reconcile`; `path` is the assignments file."""
        self._page = page
        self._path = path
        self._load = load
        self.slot = slot
        self._table: Mapping[str, _Row] = {}
        self._residents: dict[tuple[str, str], Resident] = {}
        self._leaving: list[Resident] = []
        self._generation = -1
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def models(self) -> Mapping[str, tuple[Held, Serving | None]]:
        """Every model with what the node holds of it and what answers now."""
        return {name: (row.held, self._answering(row)) for name, row in self._table.items()}

    @contextmanager
    def acquire(self, model: str) -> Iterator[Serving]:
        """What answers for `model` now, kept loaded until the block ends.

        Raises UnknownModel, or NotReady if nothing is in Production or this worker is behind.
        """
        serving = self._find(model)
        resident = serving.resident
        with resident.lock:
            resident.users += 1
        try:
            yield serving
        finally:
            with resident.lock:
                resident.users -= 1

    def reconcile(self) -> bool:
        """Load and forget until this worker holds what the file names; True if anything moved."""
        generation = self._page.generation
        if generation == self._generation:
            self._free()
            return False
        assignments = Assignments.read(self._path)
        failed = self._build(assignments)
        if failed:
            self._page.say_failed(self.slot, assignments.generation)
        else:
            self._page.say_ready(self.slot, assignments.generation)
        self._generation = generation
        return True

    def follow(self) -> None:
        """Start the thread that reconciles until `stop`."""
        self._thread = threading.Thread(target=self._run, name="manager", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the following thread; a load that is under way may outlast the wait for it."""
        self._stop.set()
        if self._thread:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(_FOLLOW_SECONDS):
            try:
                self.reconcile()
            except Exception:  # noqa: BLE001 - the thread must outlive any one bad file
                _log.exception("this worker could not follow the node's assignments")
                self._stop.wait(1.0)

    def _find(self, model: str) -> Serving:
        """What the page says now; a table read just before a flip is read again."""
        deadline = 0.0
        while True:
            row = self._table.get(model)
            serving = self._answering(row) if row else None
            if serving:
                return serving
            if row is None or not self._page.current(row.held.index):
                break
            now = time.monotonic()
            deadline = deadline or now + _PATIENCE_SECONDS
            if now > deadline:
                break
            time.sleep(0.002)
        if row is None and self._table:
            raise UnknownModel(
                f"no model {model!r} is served here; there is: {', '.join(sorted(self._table))}"
            )
        raise NotReady(f"{model or 'this node'}: no version is in Production and loaded yet")

    def _answering(self, row: _Row) -> Serving | None:
        return row.by_key.get(self._page.current(row.held.index))

    def _build(self, assignments: Assignments) -> bool:
        """Make the table of a generation; True if what it prepares could not be loaded."""
        failed = False
        residents: dict[tuple[str, str], Resident] = {}
        table: dict[str, _Row] = {}
        for name, held in assignments.models.items():
            by_key: dict[int, Serving] = {}
            for assignment in held:
                identity = (name, assignment.digest)
                resident = residents.get(identity) or self._resident(identity, assignment)
                if resident is None:
                    failed = failed or assignment == held.preparing
                    continue
                residents[identity] = resident
                by_key[pack(assignment.key)] = Serving(assignment, resident)
            table[name] = _Row(held, by_key)
        self._table = table
        self._leaving += [r for key, r in self._residents.items() if key not in residents]
        self._residents = residents
        return failed

    def _resident(self, identity: tuple[str, str], assignment: Assignment) -> Resident | None:
        """The loaded version, loading it if it is not; None if that fails."""
        if identity in self._residents:
            return self._residents[identity]
        try:
            return Resident(self._load(assignment))
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

    def _free(self) -> None:
        """Drop versions that left, here and not in the request that used them last."""
        if self._leaving:
            self._leaving = [resident for resident in self._leaving if resident.users]
