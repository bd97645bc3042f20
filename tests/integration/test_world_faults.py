"""The world around a real node: the clock set back, versions deleted, promotions without end.

A full disk is in test_full_disk.py; bad artifact stores in test_fetch_faults.py and
test_fetch_node.py; everything away at once in tests/chaos.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.load import Load
from benchmarks.trials import Trials
from benchmarks.versions import Versions, predict
from tests.servingfakes.node import ROOT, Node

RATE = 200
HOUR_SECONDS = 3600
# One trial after the other, each of about a second on an idle machine, for ten seconds and the last
# one: a node that tried them all would come to a hundred.
MOST_LOADS = 20


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "versions")


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """How many seconds the wall clock of the node's processes is back."""
    path = tmp_path / "clock"
    path.write_text("0")
    return path


@pytest.fixture
def node(tmp_path: Path, versions: Versions, clock: Path) -> Iterator[Node]:
    """A node that serves v1."""
    fake = ROOT / "tests" / "servingfakes" / "clock_set_back"
    own = {"PYTHONPATH": f"{fake}:{ROOT}", "CLOCK_SET_BACK": str(clock)}
    made = Node(tmp_path / "var", environ=own)
    made.start()
    made.promote(versions.route(1))
    made.until_serving(1)
    made.until(lambda: len({made.predict().headers["X-Worker"] for _ in range(9)}) == 2, "both")
    yield made
    made.stop()


@pytest.fixture
def load(node: Node, tmp_path: Path) -> Load:
    return Load(node.port, "/models/iris/predict", RATE, tmp_path / "history.bin")


def found(load: Load) -> list[str]:
    return violations(history.observations(load.rows()), ids=load.ids, predict=predict)


def _statuses(node: Node) -> list[str]:
    return [status["models"]["iris"]["seq"] for status in node.ledger.statuses().values()]


def test_a_clock_set_back_an_hour_changes_nothing(
    node: Node, load: Load, versions: Versions, clock: Path
) -> None:
    with load.running():
        load.until_every(node.promote(versions.route(2)).key.seq)
        clock.write_text(str(HOUR_SECONDS))
        os.kill(node.pid_of("serving.node"), signal.SIGKILL)
        load.until_every(node.promote(versions.route(3)).key.seq)
        load.until_every(node.promote(versions.route(4)).key.seq)
        load.until_every(node.promote(versions.route(2)).key.seq)
    assert found(load) == []
    assert (load.newest.seq, load.newest.version) == (5, 2)
    gauge = b'baton_served_seq{model="iris"} 5.0'
    node.until(lambda: gauge in node.ask("GET", "/metrics").body, "the gauge says what serves")
    node.until(lambda: _statuses(node) == ["1.5"], "and so does the node's row in the ledger")


def test_the_clock_of_the_nodes_processes_is_really_set_back(
    node: Node, versions: Versions, clock: Path
) -> None:
    """Else the test above could not fail: what a process says of the time is an hour ago."""
    clock.write_text(str(HOUR_SECONDS))
    node.promote(versions.route(2))
    node.until_serving(2)

    def age_seconds() -> float:
        text = node.ask("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if line.startswith("baton_last_poll")]
        return time.time() - float(lines[0].split()[-1])

    node.until(lambda: age_seconds() > HOUR_SECONDS - 60, "the watcher's clock is back")


def test_a_version_deleted_while_it_is_served_goes_on_being_served(
    node: Node, load: Load, versions: Versions
) -> None:
    """Its files in the artifact store go, and the one it went before; then a worker, then all."""
    with load.running():
        load.until_every(node.promote(versions.route(2)).key.seq)
        shutil.rmtree(versions.root)
        load.until(lambda begun=load.count: load.count > begun + RATE, "a second passes")
    assert found(load) == []
    for pid in node.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert node.until_serving(2).json["predictions"] == [[predict("2", 1.0)]]
    node.stop()
    node.start()
    assert node.until_serving(2).json["predictions"] == [[predict("2", 1.0)]]
    row = node.ask("GET", "/models/iris").json
    assert (row["version"], row["degraded"], row["reason"]) == ("2", False, None)


def test_of_a_hundred_promotions_in_ten_seconds_a_few_are_loaded_and_the_last_one_wins(
    node: Node, load: Load, versions: Versions
) -> None:
    assert node.server
    routes = [versions.route(number) for number in range(2, 102)]
    with Trials(node.server.pid) as trials, load.running():
        load.until(lambda: load.count > RATE, "the load runs")
        begun = time.monotonic()
        for number, route in enumerate(routes):
            time.sleep(max(0.0, begun + number * 0.1 - time.monotonic()))
            seq = node.promote(route).key.seq
        load.until_every(seq)
        load.until(lambda begun=load.count: load.count > begun + RATE, "a second passes")
    assert found(load) == []
    assert (load.newest.seq, load.newest.version) == (101, 101)
    served = set(load.rows()["version"].tolist())
    assert 1 <= trials.count <= MOST_LOADS
    assert len(served) <= trials.count + 1
