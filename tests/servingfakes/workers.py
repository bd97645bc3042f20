"""Workers without gunicorn: real managers on a real page, over servables that are stand-ins."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from registry.errors import BundleInvalid
from serving.assignments import Assignment, Assignments
from serving.manager import Manager
from serving.node.flip import Flipper
from serving.page import Page
from serving.servable import Servable


class FakeServable:
    """Answers with its digest, or as it is told to."""

    engine = "fake"
    kind = "tabular"
    schema: Mapping[str, Any] = {}
    signature = None
    engine_seconds = 0.001
    is_batched = False
    is_light = True
    facts: Mapping[str, Any] = {}

    def __init__(self, digest: str, predict: Callable[[Any], Any] | None = None) -> None:
        self.digest = digest
        self._predict = predict

    def take_led_rows(self) -> int:
        return 0

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        return answer

    def known(self, _seen: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.facts

    def predict(self, body: Mapping[str, Any], seen: dict[str, Any] | None = None) -> Any:
        if seen is not None:
            seen.update(body)
        return self._predict(body) if self._predict else {"predictions": [self.digest]}


@dataclass
class FakeLoader:
    """Loads what it is asked for, counts, and fails on demand."""

    broken: Collection[str] = ()
    error: Exception = field(default_factory=lambda: BundleInvalid("broken on purpose"))
    predict: Callable[[Any], Any] | None = None
    loaded: list[str] = field(default_factory=list)

    costs: Mapping[str, float] = field(default_factory=dict)

    def cost_mb(self, assignment: Assignment) -> float:
        return self.costs.get(assignment.digest, 1.0)

    def turn(self, assignment: Assignment) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, assignment: Assignment) -> Servable:
        if assignment.digest in self.broken:
            raise self.error
        self.loaded.append(assignment.digest)
        return cast("Servable", FakeServable(assignment.digest, self.predict))


class FakeWorker:
    """One worker: born with what the file names, and from then on stepped by the test."""

    def __init__(self, home: Path, loader: FakeLoader | None = None, **options: Any) -> None:
        self.loader = loader or FakeLoader()
        self.page = Page(home / "page")
        self.slot = self.page.claim(os.getpid())
        assignments = Assignments(home / "assignments")
        self.manager = Manager(self.page, assignments, self.loader, slot=self.slot, **options)
        self.manager.reconcile()

    def step(self) -> None:
        self.manager.reconcile()

    def answers(self, model: str = "iris") -> tuple[int, str]:
        """The seq and the digest that answer a request now."""
        with self.manager.acquire(model) as serving:
            served = cast("FakeServable", serving.servable)
            return serving.assignment.key.seq, served.digest

    def close(self) -> None:
        self.page.close()


class FlippingNode:
    """A flipper with its workers: each of its looks at the page lets every worker step once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.page = Page(home / "page")
        self.workers: list[FakeWorker] = []
        self.looks = 0
        self.at_look: Callable[[int], None] = lambda _: None
        self.flipper = self.new_flipper(self.page)

    def new_flipper(self, page: Page) -> Flipper:
        return Flipper(
            page,
            Assignments(self.home / "assignments"),
            ready_seconds=60,
            sleep=self._sleep,
            clock=lambda: float(self.looks),
        )

    def worker(self, loader: FakeLoader | None = None) -> FakeWorker:
        self.workers.append(FakeWorker(self.home, loader))
        return self.workers[-1]

    def step(self) -> None:
        for worker in self.workers:
            worker.step()

    def _sleep(self, _seconds: float) -> None:
        self.looks += 1
        self.at_look(self.looks)
        self.step()
        assert self.looks < 1000, "the flip never ended"
