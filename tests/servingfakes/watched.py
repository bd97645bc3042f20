"""A watcher with fakes all around: a ledger that is a list, trials that are told what to find."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from registry.errors import Unreachable
from registry.ledger import Entry, Ledger, Route
from registry.trial import TrialReport
from serving.assignments import Held
from serving.node.flip import Flipper
from serving.node.store import NodeStore
from serving.node.watcher import Watcher
from serving.page import Page
from tests.servingfakes.versions import entry, folder, route
from tests.servingfakes.workers import FakeLoader, FakeWorker


@dataclass
class FakeLedger:
    """Heads in a list; may be away."""

    entries: list[Entry] = field(default_factory=list)
    away: bool = False
    polls: int = 0
    told: list[Mapping[str, Any]] = field(default_factory=list)

    def heads(self, *, since: int = 0) -> Sequence[Entry]:
        self.polls += 1
        self._reach()
        heads = {one.model: one for one in self.entries}
        return [one for one in heads.values() if one.revision > since]

    def write_status(self, node: str, body: Mapping[str, Any], *, at_ms: int) -> None:
        self._reach()
        self.told.append(body)

    def _reach(self) -> None:
        if self.away:
            raise Unreachable("the ledger is away on purpose")


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


class WatchedNode:
    """A watcher with its ledger, trial, store and one worker; time is a number."""

    def __init__(self, home: Path, *models: str) -> None:
        self.home, self.now = home, 0.0
        self.ledger, self.trial, self.page = FakeLedger(), FakeTrial(), Page(home / "page")
        self.loader = FakeLoader()
        self.worker = FakeWorker(home, self.loader)
        self.models = models
        self.watcher = self.started()

    def started(self) -> Watcher:
        """A watcher as after a (re)start."""
        return Watcher(
            ledger=lambda: cast("Ledger", self.ledger),
            flipper=Flipper(
                self.page,
                self.home / "assignments.json",
                ready_seconds=60,
                sleep=lambda _: self.worker.step(),
            ),
            store=NodeStore(self.home / "store"),
            trial=self.trial,
            models=self.models,
            keep_versions=2,
            node="here",
            jitter=lambda: 0.0,
        )

    def version(self, number: int) -> Route:
        path = self.home / f"v{number}"
        made = path if path.exists() else folder(path, b"model %d" % number)
        return route(made, number)

    def head(self, to: Route, *, model: str = "iris") -> None:
        entries = self.ledger.entries
        seq = 1 + sum(one.model == model for one in entries)
        entries.append(entry(to, seq, model=model, revision=len(entries) + 1))

    def step(self, *, wait: bool = True) -> None:
        self.watcher.step(self.now)
        while wait and self.watcher.is_loading:
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
