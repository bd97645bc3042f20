"""A watcher with fakes all around: a ledger that is a list, trials that are told what to find."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from registry.errors import BatonError, Unreachable
from registry.ledger import BEGINNING, Entry, Ledger, Position, Route
from registry.trial import TrialReport
from serving.assignments import Assignments, Held
from serving.node.directory import Directory
from serving.node.flip import Flipper
from serving.node.heads import LedgerHeads
from serving.node.intake import Intake
from serving.node.status import Status
from serving.node.store import NodeStore
from serving.node.watcher import Watcher
from serving.page import Page
from tests.servingfakes.versions import entry, folder, retirement, route
from tests.servingfakes.workers import FakeLoader, FakeWorker


@dataclass
class FakeLedger:
    """Heads in a list; may be away."""

    entries: list[Entry] = field(default_factory=list)
    away: bool = False
    trouble: type[BatonError] = Unreachable
    polls: int = 0
    told: list[Mapping[str, Any]] = field(default_factory=list)

    def heads(self, *, since: Position = BEGINNING) -> Sequence[Entry]:
        self.polls += 1
        self._reach()
        heads = {one.model: one for one in self.entries}
        return [one for one in heads.values() if one.position > since]

    def write_status(self, node: str, body: Mapping[str, Any], *, at_ms: int) -> None:
        self._reach()
        self.told.append(body)

    def _reach(self) -> None:
        if self.away:
            raise self.trouble("the ledger is away on purpose")


@dataclass
class FakeTrial:
    """Passes what is not named; may be held up."""

    refused: set[str] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    tried: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def run(self, root: Path, *, manifest: Any = None, requests: Any = ()) -> TrialReport:
        self.gate.wait(30)
        self.tried.append(manifest.digest)
        bad = manifest.digest in self.refused
        return TrialReport(ok=not bad, reason="answers NaN" if bad else "")


class Inline(Executor):
    """Does what it is given at once, on the thread that gives it."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


class WatchedNode:
    """A watcher with its ledger, trial, store and one worker; time is a number."""

    def __init__(self, home: Path, *models: str, fallback: Path | None = None) -> None:
        self.fallback = Directory(fallback) if fallback else None
        self.home, self.now = home, 0.0
        self.ledger, self.trial, self.page = FakeLedger(), FakeTrial(), Page(home / "page")
        self.loader = FakeLoader()
        self.worker = FakeWorker(home, self.loader)
        self.models = models
        self.tick: Callable[[], None] = self._tick
        self.watcher = self.started()

    def started(self) -> Watcher:
        """A watcher as after a (re)start."""
        ledger = lambda: cast("Ledger", self.ledger)  # noqa: E731 - one line says it
        return Watcher(
            outlooks=[LedgerHeads(ledger, self.models, every_model=not self.models)],
            flipper=Flipper(
                self.page,
                Assignments(self.home / "assignments"),
                ready_seconds=60,
                sleep=lambda _: self.tick(),
            ),
            intake=Intake(NodeStore(self.home / "store"), self.trial),
            status=Status("here", ledger, teller=Inline()),
            keep_versions=2,
            fallback=self.fallback,
            jitter=lambda: 0.0,
            flips=Inline(),
        )

    def version(self, number: int) -> Route:
        path = self.home / f"v{number}"
        made = path if path.exists() else folder(path, b"model %d" % number)
        return route(made, number)

    def head(self, to: Route, *arm: Route, model: str = "iris") -> None:
        entries = self.ledger.entries
        seq = 1 + sum(one.model == model for one in entries)
        entries.append(entry(to, seq, *arm, model=model, revision=len(entries) + 1))

    def _tick(self) -> None:
        self.worker.step()

    def retire(self, *, model: str = "iris") -> None:
        seq = 1 + sum(one.model == model for one in self.ledger.entries)
        self.ledger.entries.append(
            retirement(seq, model=model, revision=len(self.ledger.entries) + 1)
        )

    def step(self, *, wait: bool = True) -> None:
        self.watcher.step(self.now)
        while wait and self.watcher.is_busy:
            threading.Event().wait(0.002)
            self.watcher.step(self.now)
        self.worker.step()

    def held(self, model: str = "iris") -> Held:
        return self.watcher.flipper.held(model)

    def close(self) -> None:
        """End its threads."""
        self.trial.gate.set()
        self.watcher.close()
        self.worker.close()
        self.page.close()
