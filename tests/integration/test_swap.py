"""Swaps of a real node under a steady load: the recorded history must hold."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.ledger import Route
from tests.integration.checker import violations
from tests.servingfakes import models
from tests.servingfakes.load import Load
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route

RATE = 200
VERSIONS = 4


def predict(version: str, x: float) -> Any:
    """What version n answers, without a server: x · n + 1000 n, in float32."""
    number = np.float32({str(n): n for n in range(1, VERSIONS + 1)}[version])
    return [[float(np.float32(x) * number + np.float32(1000) * number)]]


@pytest.fixture
def routes(tmp_path: Path) -> dict[int, Route]:
    return {
        n: route(folder(tmp_path / f"v{n}", models.linear(n, 1000 * n)), n)
        for n in range(1, VERSIONS + 1)
    }


@pytest.fixture
def node(tmp_path: Path, routes: dict[int, Route]) -> Iterator[Node]:
    made = Node(tmp_path / "var")
    made.start()
    made.promote(routes[1])
    made.until_serving(1)
    made.until(lambda: len({made.predict().headers["X-Worker"] for _ in range(9)}) == 2, "both")
    yield made
    made.stop()


def swapped(node: Node, load: Load, to: Route) -> None:
    """Promote, and go on until the load has seen it and some more requests."""
    seq = node.promote(to).key.seq
    node.until(lambda: load.history[-1].seq >= seq, f"the load sees seq {seq}")
    time.sleep(0.3)


def test_nobody_notices_six_swaps_and_rollbacks_under_load(
    node: Node, routes: dict[int, Route]
) -> None:
    load = Load(node.port, "/models/iris/predict", RATE)
    with load.running():
        node.until(lambda: len(load.history) > 100, "the load runs")
        for number in (2, 3, 2, 4, 1, 4):
            swapped(node, load, routes[number])
    assert violations(load.history, ids=load.ids, predict=predict) == []
    assert {one.seq for one in load.history} == set(range(1, 8))
    assert {one.version for one in load.history} == {"1", "2", "3", "4"}
    assert len(load.history) >= 400


def test_promotions_faster_than_loads_end_at_the_last_one(
    node: Node, routes: dict[int, Route]
) -> None:
    load = Load(node.port, "/models/iris/predict", RATE)
    with load.running():
        node.until(lambda: len(load.history) > 50, "the load runs")
        for number in (2, 3, 4) * 5:
            node.promote(routes[number])
        swapped(node, load, routes[3])
    assert violations(load.history, ids=load.ids, predict=predict) == []
    assert (load.history[-1].seq, load.history[-1].version) == (17, "3")


def test_a_watcher_killed_during_swaps_breaks_no_request(
    node: Node, routes: dict[int, Route]
) -> None:
    load = Load(node.port, "/models/iris/predict", RATE)
    with load.running():
        node.until(lambda: len(load.history) > 50, "the load runs")
        for number in (2, 3, 2):
            node.promote(routes[number])
            time.sleep(0.05 * number)
            os.kill(node.pid_of("serving.node"), signal.SIGKILL)
            node.until(lambda n=number: load.history[-1].version == str(n), "it swapped")
    assert violations(load.history, ids=load.ids, predict=predict) == []


def test_a_worker_killed_during_a_swap_takes_only_its_own_requests_along(
    node: Node, routes: dict[int, Route]
) -> None:
    """What it was answering is lost without a proxy that tries again; nothing goes back."""
    load = Load(node.port, "/models/iris/predict", RATE)
    with load.running():
        node.until(lambda: len(load.history) > 50, "the load runs")
        for number in (2, 3):
            node.promote(routes[number])
            os.kill(min(node.worker_pids()), signal.SIGKILL)
            node.until(lambda n=number: load.history[-1].version == str(n), "it swapped")
    lost = [one.id for one in load.history if one.status == 0]
    assert len(lost) <= 2 * load.connections
    assert {one.status for one in load.history} <= {0, 200}
    kept = [identity for identity in load.ids if identity not in lost]
    assert violations(load.history, ids=kept, predict=predict) == []
