"""Swaps of a real node under a steady load: the recorded history must hold."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import history, steady
from benchmarks.checker import violations
from benchmarks.load import Load
from benchmarks.versions import Versions, predict
from registry.ledger import Route
from tests.servingfakes.node import Node

RATE = 200
VERSIONS = 4


@pytest.fixture
def routes(tmp_path: Path) -> dict[int, Route]:
    made = Versions(tmp_path)
    return {n: made.route(n) for n in range(1, VERSIONS + 1)}


@pytest.fixture
def node(tmp_path: Path, routes: dict[int, Route]) -> Iterator[Node]:
    made = Node(tmp_path / "var")
    made.start()
    made.promote(routes[1])
    made.until_serving(1)
    made.until(lambda: len({made.predict().headers["X-Worker"] for _ in range(9)}) == 2, "both")
    yield made
    made.stop()


@pytest.fixture
def load(node: Node, tmp_path: Path) -> Load:
    return Load(node.port, "/models/iris/predict", RATE, tmp_path / "history.bin")


def swapped(node: Node, load: Load, to: Route) -> None:
    """Promote, and go on until the load has seen it and some more requests."""
    seq = node.promote(to).key.seq
    node.until(lambda: load.first(seq), f"the load sees seq {seq}")
    time.sleep(0.3)


def found(load: Load, ids: list[str] | None = None) -> list[str]:
    rows = history.observations(load.rows())
    return violations(rows, ids=load.ids if ids is None else ids, predict=predict)


def test_what_a_worker_computes_for_a_new_version_gives_way_to_requests(
    node: Node, tmp_path: Path
) -> None:
    slow = Versions(tmp_path / "slow", burn_products=300).route(2)
    workers = node.worker_pids()
    seen: set[int] = set()

    def given_way() -> set[int]:
        for pid in workers - seen:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    if os.sched_getscheduler(int(thread.name)) == os.SCHED_IDLE:
                        seen.add(pid)
        return workers - seen

    node.promote(slow)
    node.until(lambda: not given_way(), "each worker loads on a thread that gives way")
    node.until_serving(2)


def test_nobody_notices_six_swaps_and_rollbacks_under_load(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    with load.running():
        node.until(lambda: load.count > 100, "the load runs")
        for number in (2, 3, 2, 4, 1, 4):
            swapped(node, load, routes[number])
    assert found(load) == []
    rows = load.rows()
    assert set(rows["seq"].tolist()) == set(range(1, 8))
    assert set(rows["version"].tolist()) == {1, 2, 3, 4}
    assert len(rows) == load.count >= 400


def test_promotions_faster_than_loads_end_at_the_last_one(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    with load.running():
        node.until(lambda: load.count > 50, "the load runs")
        for number in (2, 3, 4) * 5:
            node.promote(routes[number])
        swapped(node, load, routes[3])
    assert found(load) == []
    assert (load.newest.seq, load.newest.version) == (17, 3)


def test_a_watcher_killed_during_swaps_breaks_no_request(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    with load.running():
        node.until(lambda: load.count > 50, "the load runs")
        for number in (2, 3, 2):
            seq = node.promote(routes[number]).key.seq
            time.sleep(0.05 * number)
            os.kill(node.pid_of("serving.node"), signal.SIGKILL)
            node.until(lambda seq=seq: load.first(seq), "it swapped")
    assert found(load) == []


def test_a_worker_killed_during_a_swap_takes_only_its_own_requests_along(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    """What it was answering is lost without a proxy that tries again; nothing goes back."""
    with load.running():
        node.until(lambda: load.count > 50, "the load runs")
        for number in (2, 3):
            seq = node.promote(routes[number]).key.seq
            os.kill(min(node.worker_pids()), signal.SIGKILL)
            node.until(lambda seq=seq: load.first(seq), "it swapped")
    rows = load.rows()
    lost = {f"r{number}" for number in rows["number"][rows["status"] == 0].tolist()}
    assert len(lost) <= 2 * load.connections
    assert set(rows["status"].tolist()) <= {0, 200}
    assert found(load, [identity for identity in load.ids if identity not in lost]) == []


@pytest.mark.timeout(900)
def test_thirty_thousand_requests_over_sixty_swaps_all_hold(tmp_path: Path) -> None:
    """The benchmark's own run, small: counts only, a time here would say nothing."""
    outcome, _ = steady.run(tmp_path / "home", requests=30_000, swaps=60, rate=400)
    assert outcome.complaints == ()
    assert outcome.failed == 0
    assert outcome.requests >= 30_000
    assert outcome.versions == 46
