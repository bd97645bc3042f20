"""The manager of one worker: what a request is given, what is loaded, and who frees it."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

import pytest

from registry.errors import NotReady, UnknownModel
from registry.ledger import Key
from serving.assignments import Assignment, Assignments, Held
from serving.node.flip import Flipper
from serving.page import Page
from serving.residents import Residents
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FakeLoader, FakeServable, FakeWorker

A1, B2, C3 = (assignment(digest, seq) for seq, digest in enumerate("ABC", start=1))


class Node:
    """A page and a file, written by hand or by a flipper whose sleep lets the worker step."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.page = Page(home / "page")
        self.worker: FakeWorker | None = None
        self.assignments = Assignments(home / "assignments")

    def say(self, **models: Held) -> None:
        """Replace the files and announce them."""
        for name, held in models.items():
            self.assignments.write(name, held)
            self.page.announce(held.index)

    def born(self, loader: FakeLoader | None = None) -> FakeWorker:
        ticks = itertools.count(1.0)
        residents = Residents(clock=lambda: next(ticks))
        self.worker = FakeWorker(self.home, loader, residents=residents)
        return self.worker

    def flip(self, *aspired: Assignment) -> None:
        flipper = Flipper(
            self.page,
            self.assignments,
            ready_seconds=60,
            sleep=lambda seconds: self.worker.step() if self.worker else time.sleep(seconds),
        )
        for one in aspired:
            flipper.flip(one)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    if made.worker:
        made.worker.close()
    made.page.close()


def test_a_request_takes_its_servable_once_and_keeps_it_over_a_flip(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    with worker.manager.acquire("iris") as serving:
        node.flip(B2, C3)
        worker.step()
        assert serving.assignment == A1
        assert cast("FakeServable", serving.servable).digest == "A"
    assert worker.answers() == (3, "C")


def test_a_model_that_is_not_served_is_unknown_and_the_error_names_those_that_are(
    node: Node,
) -> None:
    node.flip(A1, assignment("X", 1, model="petr4"))
    with pytest.raises(UnknownModel, match="no model 'wine'.*there is: iris, petr4"):
        node.born().answers("wine")


def test_nothing_is_unknown_on_a_node_that_serves_nothing_yet(node: Node) -> None:
    with pytest.raises(NotReady, match="no version is in Production"):
        node.born().answers("iris")


def test_a_model_the_node_expects_is_not_ready_instead_of_unknown(node: Node) -> None:
    node.say(iris=Held(index=0))
    with pytest.raises(NotReady, match="iris: no version is in Production"):
        node.born().answers("iris")


def test_what_is_being_prepared_does_not_answer_yet(node: Node) -> None:
    node.say(iris=Held(index=0, preparing=A1))
    worker = node.born()
    assert worker.loader.loaded == ["A"]
    with pytest.raises(NotReady):
        worker.answers()
    node.page.flip(0, Key(1, 1))
    assert worker.answers() == (1, "A")


def test_a_worker_that_is_behind_the_page_waits_for_itself_and_never_answers_lower(
    node: Node,
) -> None:
    node.flip(A1)
    worker = node.born()
    node.say(iris=Held(index=0, current=B2, previous=A1))
    node.page.flip(0, B2.key)
    answers: list[tuple[int, str]] = []
    request = threading.Thread(target=lambda: answers.append(worker.answers()))
    request.start()
    assert answers == []
    worker.step()
    request.join(timeout=30)
    assert answers == [(2, "B")]


def test_a_worker_that_stays_behind_says_not_ready(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    node.page.flip(0, B2.key)
    with pytest.raises(NotReady):
        worker.answers()


def test_a_version_that_leaves_is_freed(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    servable = _weak(worker)
    node.flip(B2, C3)
    for _ in range(3):
        worker.step()
    assert servable() is None


def test_a_version_is_freed_after_its_last_request_and_not_by_that_request(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    servable = _weak(worker)
    with worker.manager.acquire("iris") as serving:
        node.flip(B2, C3)
        for _ in range(3):
            worker.step()
        assert servable() is not None
        del serving
    assert servable() is not None, "freeing it took the request's time"
    worker.step()
    assert servable() is None


def _weak(worker: FakeWorker) -> weakref.ref[object]:
    gc.collect()
    with worker.manager.acquire("iris") as serving:
        return weakref.ref(serving.servable)


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_says_failed(node: Node) -> None:
    node.flip(A1)
    worker = node.born(FakeLoader(broken="B"))
    node.say(iris=Held(index=0, current=A1, preparing=B2))
    worker.step()
    [slot] = node.page.live_slots()
    assert slot.failed[0] == node.page.announced
    assert slot.ready[0] < slot.failed[0]
    assert worker.answers() == (1, "A")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("engine"), OSError(24, "EMFILE")])
def test_whatever_a_load_raises_the_worker_lives_and_says_failed(
    node: Node, error: Exception
) -> None:
    """An error that got through would end a worker that is being born, and gunicorn with it."""
    node.flip(A1)
    node.say(iris=Held(index=0, current=A1, preparing=B2))
    worker = node.born(FakeLoader(broken="B", error=error))
    assert node.page.live_slots()[0].failed[0] == node.page.announced
    assert worker.answers() == (1, "A")


def test_a_worker_that_cannot_wait_for_its_turn_says_failed(node: Node) -> None:
    class NoTurns(FakeLoader):
        def turn(self, assignment: Assignment) -> AbstractContextManager[None]:
            raise OSError(28, "No space left on device")

    node.flip(A1)
    node.say(iris=Held(index=0, current=A1, preparing=B2))
    node.born(NoTurns())
    assert node.page.live_slots()[0].failed[0] == node.page.announced


def test_a_version_is_loaded_once_however_often_it_comes_back(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    node.flip(B2, assignment("A", 3), assignment("B", 4), assignment("A", 5))
    worker.step()
    assert worker.answers() == (5, "A")
    assert worker.loader.loaded == ["A", "B"]


def test_two_models_of_the_same_bytes_are_two_servables(node: Node) -> None:
    """Freeing one must not take the other along."""
    node.flip(A1, assignment("A", 1, model="copy"))
    worker = node.born()
    assert worker.loader.loaded == ["A", "A"]
    assert (worker.answers("iris"), worker.answers("copy")) == ((1, "A"), (1, "A"))


def test_a_worker_that_has_nothing_to_do_says_so(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    assert worker.manager.reconcile() is False
    node.flip(B2)
    assert worker.manager.reconcile() is True


def test_the_following_thread_follows_until_it_is_stopped(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    worker.manager.follow()
    node.worker = None
    node.flip(B2)
    assert worker.answers() == (2, "B")
    worker.manager.stop()
    assert "manager" not in {thread.name for thread in threading.enumerate()}
    worker.close()


def test_the_following_thread_outlives_a_file_it_cannot_read(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.flip(A1)
    worker = node.born()
    [file] = (node.home / "assignments").iterdir()
    good = file.read_bytes()
    file.write_bytes(b"{")
    node.page.announce(0)
    worker.manager.follow()
    for _ in range(500):
        if "could not follow" in caplog.text:
            break
        threading.Event().wait(0.01)
    assert worker.answers() == (1, "A")
    file.write_bytes(good)
    node.worker = None
    node.flip(B2)
    assert worker.answers() == (2, "B")
    worker.manager.stop()


def test_requests_during_many_swaps_never_see_a_lower_seq(node: Node) -> None:
    node.flip(A1)
    worker = node.born()
    worker.manager.follow()
    stop, wrong, count = threading.Event(), [], [0]

    def ask() -> None:
        last = 0
        while not stop.is_set():
            seq, digest = worker.answers()
            if seq < last or digest != "AB"[(seq - 1) % 2]:
                wrong.append((last, seq, digest))
            last = seq
            count[0] += 1
            time.sleep(0.0005)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    node.worker = None
    node.flip(*(assignment("AB"[(seq - 1) % 2], seq) for seq in range(2, 30)))
    stop.set()
    for thread in threads:
        thread.join()
    worker.manager.stop()
    assert wrong == []
    assert count[0] > 100
