"""The flip over all workers of a node, and what a crash between any two writes leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from registry.errors import BundleInvalid
from registry.ledger import Key
from serving.assignments import Assignments, Held
from serving.node.flip import Flipper
from serving.page import MODELS, Page, pack
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FakeLoader, FakeWorker, FlippingNode

A1, B2, C3 = (assignment(digest, seq) for seq, digest in enumerate("ABC", start=1))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FlippingNode]:
    made = FlippingNode(tmp_path)
    yield made
    for worker in made.workers:
        worker.close()
    made.page.close()


@contextmanager
def sleeping_child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that claims to be a worker and never loads anything."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_flip_moves_every_worker_at_once(node: FlippingNode) -> None:
    workers = [node.worker() for _ in range(3)]
    node.flipper.flip(A1)
    assert [worker.answers() for worker in workers] == [(1, "A")] * 3
    node.flipper.flip(B2)
    assert [worker.answers() for worker in workers] == [(2, "B")] * 3


def test_no_worker_answers_with_the_new_version_before_all_are_ready(node: FlippingNode) -> None:
    quick, slow = node.worker(), node.worker()
    node.flipper.flip(A1)
    node.workers.remove(slow)
    seen = []

    def look(number: int) -> None:
        seen.append((quick.answers(), slow.answers()))
        if len(seen) == 20:
            node.workers.append(slow)

    node.at_look = look
    node.flipper.flip(B2)
    assert set(seen) == {((1, "A"), (1, "A"))}
    assert len(seen) >= 20
    assert (quick.answers(), slow.answers()) == ((2, "B"), (2, "B"))


def test_a_worker_born_during_the_flip_is_waited_for(node: FlippingNode) -> None:
    node.flipper.flip(A1)
    stuck = node.worker()
    node.workers.clear()
    born: list[FakeWorker] = []

    def look(number: int) -> None:
        if number == 5:
            born.append(node.worker(FakeLoader()))
            node.workers.append(stuck)

    node.at_look = look
    node.flipper.flip(B2)
    assert born[0].answers() == (2, "B")


def test_a_version_that_one_worker_cannot_load_is_refused_and_the_old_one_stays(
    node: FlippingNode,
) -> None:
    good, bad = node.worker(), node.worker(FakeLoader(broken="B"))
    node.flipper.flip(A1)
    with pytest.raises(BundleInvalid, match="could not load v2"):
        node.flipper.flip(B2)
    node.step()
    assert (good.answers(), bad.answers()) == ((1, "A"), (1, "A"))
    assert node.flipper.held("iris").preparing is None
    node.flipper.flip(C3)
    assert (good.answers(), bad.answers()) == ((3, "C"), (3, "C"))


def test_a_worker_that_is_late_is_ended(node: FlippingNode) -> None:
    worker = node.worker()
    with sleeping_child() as child:
        node.page.claim(child.pid)
        node.flipper.flip(A1)
        assert child.wait(timeout=30) == -9
    assert node.looks >= 60
    assert worker.answers() == (1, "A")


def test_workers_that_load_one_after_the_other_have_the_full_time_each(node: FlippingNode) -> None:
    """Four workers of 50 s each take turns: none is late, though the last needs 200 s."""
    with ExitStack() as stack:
        children = [stack.enter_context(sleeping_child()) for _ in range(4)]
        queue = [node.page.claim(child.pid) for child in children]

        def look(number: int) -> None:
            if number % 50 == 0:
                node.page.say_ready(queue.pop(0), 0, node.page.announced)

        node.at_look = look
        node.flipper.flip(A1)
        assert [child.poll() for child in children] == [None] * 4
    assert queue == []


def test_a_version_that_ends_the_workers_which_load_it_is_refused(node: FlippingNode) -> None:
    """Else they would be replaced, load it before they accept, and end again, for ever."""
    node.flipper.flip(A1)
    survivor = node.worker()
    with ExitStack() as stack:
        unborn = [stack.enter_context(sleeping_child()) for _ in range(5)]
        loading = [unborn.pop()]
        node.page.claim(loading[0].pid)

        def look(number: int) -> None:
            if number % 3 == 0:
                ended = loading.pop()
                ended.kill()
                ended.wait()
                loading.append(unborn.pop())
                node.page.claim(loading[0].pid)

        node.at_look = look
        with pytest.raises(BundleInvalid, match="workers ended while they loaded v2"):
            node.flipper.flip(B2)
    assert survivor.answers() == (1, "A")
    assert node.flipper.held("iris").preparing is None


def test_a_worker_that_ended_by_itself_just_before_is_no_fault(node: FlippingNode) -> None:
    """Between the look at the slots and the signal there may be nobody left to end."""

    class Late(Page):
        def live_slots(self) -> list[Any]:
            seen = super().live_slots()
            for slot in seen:
                if slot.pid != os.getpid():
                    child.kill()
                    child.wait()
            return seen

    with sleeping_child() as child, Late(node.home / "page") as page:
        page.claim(child.pid)
        flipper = Flipper(
            page,
            Assignments(node.home / "assignments"),
            ready_seconds=0,
            clock=lambda: float(os.times()[4]),
        )
        flipper.flip(A1)
    assert node.page.current(0) == pack(Key(1, 1))


def test_what_served_before_stays_resident_for_a_way_back(node: FlippingNode) -> None:
    worker = node.worker()
    for aspired in (A1, B2, assignment("A", 3), assignment("B", 4)):
        node.flipper.flip(aspired)
    assert worker.answers() == (4, "B")
    assert worker.loader.loaded == ["A", "B"]


def test_models_do_not_touch_each_other(node: FlippingNode) -> None:
    worker = node.worker()
    node.flipper.flip(A1)
    node.flipper.flip(assignment("X", 7, model="petr4"))
    node.flipper.flip(B2)
    assert worker.answers("iris") == (2, "B")
    assert worker.answers("petr4") == (7, "X")


def test_a_refusal_is_shown_and_gone_with_the_next_flip(node: FlippingNode) -> None:
    node.flipper.flip(A1)
    node.flipper.refuse("iris", "v2 refused: broken")
    again = Assignments(node.home / "assignments").models()["iris"]
    assert (again.refused, again.current) == ("v2 refused: broken", A1)
    announced = node.page.announced
    node.flipper.refuse("iris", "v2 refused: broken")
    assert node.page.announced == announced, "saying it twice changes nothing"
    node.flipper.flip(assignment("A", 3))
    assert node.flipper.held("iris").refused == ""


def test_a_node_serves_only_as_many_models_as_the_page_has_words(node: FlippingNode) -> None:
    node.flipper._models = {f"m{n}": Held(index=n) for n in range(MODELS)}
    with pytest.raises(BundleInvalid, match="16384 models"):
        node.flipper.flip(A1)


def test_a_lost_assignments_file_does_not_let_an_old_word_answer_for_another_model(
    node: FlippingNode,
) -> None:
    node.flipper.flip(assignment("A", 7, model="old"))
    shutil.rmtree(node.home / "assignments")
    flipper = node.new_flipper(node.page)
    worker = node.worker()

    def look(number: int) -> None:
        assert node.page.current(0) == 0

    node.at_look = look
    flipper.flip(assignment("X", 7, model="new"))
    assert worker.answers("new") == (7, "X")
