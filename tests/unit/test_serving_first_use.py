"""Many models within a memory budget: what is loaded when, what leaves, and who waits for whom."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from registry.errors import NotReady, UnknownModel
from serving.assignments import Assignment, Assignments
from serving.first_use import FirstUses
from serving.manager import Served
from serving.node.flip import Flipper
from serving.page import Page
from serving.residents import Resident, Residents
from serving.servable import Servable
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FakeLoader, FakeWorker

BUDGET_MB = 3.0


@dataclass
class HeldUpLoader(FakeLoader):
    """A load of what is in `slow` lasts until the test lets it go."""

    slow: set[str] = field(default_factory=set)
    begun: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, assignment: Assignment) -> Servable:
        if assignment.digest in self.slow:
            self.begun.set()
            assert self.gate.wait(30)
        return super().__call__(assignment)


class Node:
    """Models `a`, `b`, … at seq 1, and one worker with a budget for three versions of 1 MB."""

    def __init__(self, home: Path) -> None:
        self.home, self.page = home, Page(home / "page")
        self.worker: FakeWorker | None = None
        self.flipper = Flipper(
            self.page,
            Assignments(home / "assignments"),
            ready_seconds=60,
            sleep=lambda _: self.worker.step() if self.worker else None,
        )

    def serve(self, *models: str, seq: int = 1) -> None:
        for model in models:
            self.flipper.flip(assignment(f"{model}{seq}", seq, model=model))

    def born(self, loader: FakeLoader | None = None, **options: Any) -> FakeWorker:
        ticks = itertools.count(1.0)
        residents = Residents(BUDGET_MB, clock=lambda: next(ticks))
        self.worker = FakeWorker(self.home, loader, residents=residents, **options)
        return self.worker

    def loaded(self) -> set[str]:
        assert self.worker
        served = self.worker.manager.models()
        return {name for name, one in served.items() if one.servable is not None}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    if made.worker:
        made.worker.close()
    made.page.close()


def test_a_model_is_loaded_by_the_request_that_needs_it_first_and_once(node: Node) -> None:
    node.serve("a", "b")
    worker = node.born()
    assert worker.loader.loaded == []
    assert [worker.answers("b"), worker.answers("b")] == [(1, "b1"), (1, "b1")]
    assert worker.loader.loaded == ["b1"]


def test_a_model_that_is_not_loaded_is_shown_with_what_would_answer(node: Node) -> None:
    node.serve("a")
    shown = node.born().manager.models()["a"]
    assert (shown.answering and shown.answering.digest, shown.servable) == ("a1", None)


def test_being_asked_what_would_answer_loads_nothing(node: Node) -> None:
    node.serve("a")
    worker = node.born()
    assert worker.manager.answering("a").digest == "a1"
    assert worker.loader.loaded == []
    with pytest.raises(UnknownModel):
        worker.manager.answering("b")


def test_pinned_models_are_loaded_ahead_and_never_leave(node: Node) -> None:
    node.serve("a", "b", "c", "d", "e")
    worker = node.born(pinned=("a",))
    assert worker.loader.loaded == ["a1"]
    for model in "bcde":
        worker.answers(model)
    assert "a" in node.loaded()


def test_the_least_recently_used_leaves_when_another_needs_its_room(node: Node) -> None:
    node.serve("a", "b", "c", "d")
    worker = node.born()
    for model in "abcad":
        worker.answers(model)
    assert node.loaded() == {"a", "c", "d"}
    assert worker.answers("b") == (1, "b1"), "what left comes back at its next use"
    assert len(node.loaded()) == 3


def test_a_version_kept_for_a_way_back_leaves_before_one_that_answers(node: Node) -> None:
    node.serve("a", "b", "c")
    worker = node.born()
    worker.answers("b")
    worker.answers("a")
    node.serve("a", seq=2)
    worker.answers("c")
    assert node.loaded() == {"a", "b", "c"}
    assert worker.manager._residents.get(("a", "a1")) is None


def test_what_answers_a_request_at_this_moment_stays(node: Node) -> None:
    node.serve("a", "b", "c", "d")
    worker = node.born()
    with worker.manager.acquire("a"):
        for model in "bcd":
            worker.answers(model)
        assert "a" in node.loaded()


def test_a_swap_of_a_model_in_use_is_loaded_ahead_and_of_one_not_in_use_is_not(node: Node) -> None:
    node.serve("a", "b")
    worker = node.born()
    worker.answers("a")
    node.serve("a", "b", seq=2)
    assert worker.loader.loaded == ["a1", "a2"]
    assert [worker.answers("a"), worker.answers("b")] == [(2, "a2"), (2, "b2")]


def test_a_first_use_waits_for_its_own_load_only(node: Node) -> None:
    node.serve("a", "b", "c")
    loader = HeldUpLoader(slow={"a1"})
    worker = node.born(loader)
    worker.answers("c")
    answers: list[tuple[int, str]] = []
    request = threading.Thread(target=lambda: answers.append(worker.answers("a")))
    request.start()
    assert loader.begun.wait(30)
    assert [worker.answers("b"), worker.answers("c")] == [(1, "b1"), (1, "c1")]
    assert answers == []
    loader.gate.set()
    request.join(30)
    assert answers == [(1, "a1")]


def test_a_swap_does_not_wait_for_another_models_first_use(node: Node) -> None:
    node.serve("a", "b")
    loader = HeldUpLoader(slow={"a1"})
    worker = node.born(loader)
    worker.answers("b")
    request = threading.Thread(target=worker.answers, args=("a",))
    request.start()
    assert loader.begun.wait(30)
    node.serve("b", seq=2)
    assert worker.answers("b") == (2, "b2")
    loader.gate.set()
    request.join(30)


def test_requests_beyond_the_bound_are_told_to_come_again(node: Node) -> None:
    node.serve("a", "b")
    loader = HeldUpLoader(slow={"a1"})
    worker = node.born(loader, most_first_uses=1)
    request = threading.Thread(target=worker.answers, args=("a",))
    request.start()
    assert loader.begun.wait(30)
    with pytest.raises(NotReady, match="b: waits for other models that are being loaded"):
        worker.answers("b")
    loader.gate.set()
    request.join(30)
    assert worker.answers("b") == (1, "b1")


def test_requests_for_the_same_model_wait_for_one_load(node: Node) -> None:
    node.serve("a")
    loader = HeldUpLoader(slow={"a1"})
    worker = node.born(loader)
    answers: list[tuple[int, str]] = []
    requests = [
        threading.Thread(target=lambda: answers.append(worker.answers("a"))) for _ in range(3)
    ]
    for request in requests:
        request.start()
    assert loader.begun.wait(30)
    loader.gate.set()
    for request in requests:
        request.join(30)
    assert (answers, loader.loaded) == ([(1, "a1")] * 3, ["a1"])


def test_a_load_that_failed_is_not_tried_by_every_request() -> None:
    now, loads = [0.0], []

    def load() -> Resident | None:
        loads.append(now[0])
        return None

    uses = FirstUses(1, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 4.9, 5.0):
        with pytest.raises(NotReady, match="a: its version could not be loaded"):
            uses.of(("a", "a1"), find=lambda: None, load=load)
    assert loads == [0.0, 5.0]


def test_a_worker_without_a_budget_loads_everything_ahead(node: Node) -> None:
    node.serve("a", "b")
    node.worker = FakeWorker(node.home)
    assert sorted(node.worker.loader.loaded) == ["a1", "b1"]
    assert all(isinstance(one, Served) and one.servable for one in _shown(node.worker))


def _shown(worker: FakeWorker) -> list[Served]:
    return list(worker.manager.models().values())
