"""Swaps of several models at once: one that is slow delays no other, and can be overtaken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.errors import LostRace
from serving.assignments import Assignments
from serving.node.flip import Flipper
from serving.page import LANES, Page
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FakeWorker
from tests.unit.test_serving_first_use import HeldUpLoader

A1, B2 = assignment("A", 1), assignment("B", 2)


class Node:
    """Real threads: two workers that follow, and flips on a pool."""

    def __init__(self, home: Path) -> None:
        self.page = Page(home / "page")
        self.loader = HeldUpLoader()
        self.workers = [FakeWorker(home, self.loader) for _ in range(2)]
        for worker in self.workers:
            worker.manager.follow()
        self.flipper = Flipper(self.page, Assignments(home / "assignments"), ready_seconds=60)
        self.pool = ThreadPoolExecutor(max_workers=4)

    def close(self) -> None:
        self.loader.gate.set()
        self.pool.shutdown()
        for worker in self.workers:
            worker.manager.stop()
            worker.close()
        self.page.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


def test_a_swap_that_loads_for_long_delays_no_other_models(node: Node) -> None:
    for model in ("slow", "quick"):
        node.flipper.flip(assignment("A", 1, model=model))
    node.loader.slow = {"S"}
    slow = node.pool.submit(node.flipper.flip, assignment("S", 2, model="slow"))
    assert node.loader.begun.wait(30)
    node.flipper.flip(assignment("Q", 2, model="quick"))
    assert [worker.answers("quick") for worker in node.workers] == [(2, "Q")] * 2
    assert [worker.answers("slow") for worker in node.workers] == [(1, "A")] * 2
    assert not slow.done()
    node.loader.gate.set()
    slow.result(30)
    assert [worker.answers("slow") for worker in node.workers] == [(2, "S")] * 2


def test_a_rollback_overtakes_a_version_that_workers_still_load(node: Node) -> None:
    node.flipper.flip(A1)
    node.loader.slow = {"B"}
    wanted = [True]
    loading = node.pool.submit(node.flipper.flip, B2, wanted=lambda: wanted[0])
    assert node.loader.begun.wait(30)
    wanted[0] = False
    with pytest.raises(LostRace, match="v2: overtaken"):
        loading.result(30)
    node.flipper.flip(assignment("A", 3))
    assert [worker.answers() for worker in node.workers] == [(3, "A")] * 2
    node.loader.gate.set()
    time.sleep(0.1)
    assert [worker.answers() for worker in node.workers] == [(3, "A")] * 2


def test_swaps_in_one_lane_follow_one_another_and_all_arrive(node: Node) -> None:
    models = [f"m{number}" for number in range(2 * LANES + 1)]
    for model in models:
        node.flipper.flip(assignment("A", 1, model=model))
    assert node.flipper.held(models[0]).index % LANES == node.flipper.held(models[-1]).index % LANES
    flips = [
        node.pool.submit(node.flipper.flip, assignment("B", seq, model=model, version=seq))
        for seq in (2, 3)
        for model in models
    ]
    for flip in flips:
        flip.result(60)
    for worker in node.workers:
        assert {worker.answers(model)[1] for model in models} == {"B"}


def test_every_model_ends_where_the_last_flip_put_it_however_many_run_at_once(node: Node) -> None:
    def swap(model: str) -> None:
        for seq in range(1, 20):
            node.flipper.flip(assignment("AB"[seq % 2], seq, model=model))

    threads = [threading.Thread(target=swap, args=(f"m{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for worker in node.workers:
        assert [worker.answers(f"m{n}") for n in range(6)] == [(19, "B")] * 6
