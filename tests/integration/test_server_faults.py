"""A real node whose processes are killed, whose world goes away, whose new versions are bad."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import descendants
from registry.ledger import Route
from tests.servingfakes import models
from tests.servingfakes.node import Node, alive
from tests.servingfakes.versions import folder, route


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that serves v1 of `iris`, which multiplies by 1."""
    made = Node(tmp_path / "var")
    made.start()
    made.promote(version(made, 1))
    made.until_serving(1)
    yield made
    made.stop()


def version(node: Node, number: int, model: bytes | None = None) -> Route:
    """A version that multiplies by its number, or the given graph."""
    made = folder(node.home.parent / f"v{number}", model or models.linear(number))
    return route(made, number)


def test_it_follows_the_head_by_its_poll_when_nobody_knocks(node: Node) -> None:
    (node.home / "node.sock").rename(node.home / "nobody.sock")
    node.promote(version(node, 2))
    assert node.until_serving(2).json["predictions"] == [[2.0]]


def test_a_restart_serves_with_ledger_and_registry_and_artifacts_gone(node: Node) -> None:
    node.promote(version(node, 2))
    node.until_serving(2)
    node.stop()
    for path in node.home.glob("ledger.db*"):
        path.unlink()
    (node.home / "ledger.db").mkdir()
    for path in node.home.parent.glob("v*/model.onnx"):
        path.unlink()
    node.start()
    reply = node.until_serving(2)
    assert (reply.seq, reply.json["version"], reply.json["predictions"]) == (2, "2", [[2.0]])
    node.until(lambda: "cannot read the ledger" in node.log(), "the watcher tried the ledger")
    assert node.predict().seq == 2


def test_sigterm_ends_it_with_no_process_left(node: Node) -> None:
    assert node.server
    below = descendants(node.server.pid)
    assert len(below) >= 5, "gunicorn, its two workers, watcher, registrar"
    assert node.stop() == 0
    assert [pid for pid in below if alive(pid)] == []


def test_kill_of_the_supervisor_leaves_no_process_behind(node: Node) -> None:
    assert node.server
    below = descendants(node.server.pid)
    node.server.kill()
    node.server.wait()
    node.until(lambda: not any(map(alive, below)), "every child noticed")


def test_a_killed_watcher_comes_back_and_follows(node: Node) -> None:
    os.kill(node.pid_of("serving.node"), signal.SIGKILL)
    assert node.predict().seq == 1
    node.promote(version(node, 2))
    assert node.until_serving(2).json["predictions"] == [[2.0]]
    swaps = b'baton_swaps_total{model="iris",result="served"} 2.0'
    node.until(lambda: swaps in node.ask("GET", "/metrics").body, "its start counted as no swap")


def test_a_killed_worker_is_replaced_by_one_that_answers_the_current_seq(node: Node) -> None:
    node.promote(version(node, 2))
    node.until_serving(2)
    before = node.worker_pids()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    node.until(lambda: len(node.worker_pids() - {victim}) == 2, "a new worker is there")
    seen = {}

    def both() -> bool:
        reply = node.predict()
        seen[reply.headers.get("X-Worker")] = (reply.status, reply.seq)
        return len(seen) == 2

    node.until(both, "both workers answer")
    assert set(seen.values()) == {(200, 2)}


def test_a_worker_killed_while_a_version_loads_does_not_stop_the_swap(node: Node) -> None:
    for number in range(2, 5):
        node.promote(version(node, number))
        os.kill(max(node.worker_pids()), signal.SIGKILL)
        assert node.until_serving(number).seq == number


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"", "ONNX Runtime cannot load it"),
        (models.not_a_number(), "the model answered NaN or Infinity"),
    ],
    ids=["an empty file", "answers NaN"],
)
def test_a_head_that_is_no_good_leaves_the_old_version_and_says_why(
    node: Node, model: bytes, reason: str
) -> None:
    made = folder(node.home.parent / "bad", model)
    node.promote(route(made, 2))
    [row] = node.until(
        lambda: [r for r in node.ask("GET", "/models").json["models"] if r["degraded"]],
        "the node says that it is degraded",
    )
    assert "v2 refused" in row["reason"]
    assert reason in row["reason"]
    assert (row["version"], row["seq"]) == ("1", 1)
    assert (node.predict().seq, node.ask("GET", "/readyz").status) == (1, 200)
    assert b'baton_degraded{model="iris"} 1.0' in node.ask("GET", "/metrics").body
    assert "v2 refused" in str(node.until(lambda: _told(node), "the ledger was told"))
    node.promote(version(node, 3))
    assert node.until_serving(3).json["predictions"] == [[3.0]]
    node.until(
        lambda: [
            row
            for row in node.ask("GET", "/models").json["models"]
            if (row["degraded"], row["reason"]) == (False, None)
        ],
        "nothing is degraded any more",
    )


def _told(node: Node) -> str:
    statuses = node.ledger.statuses().values()
    return "".join(status["models"]["iris"]["refused"] for status in statuses)


def test_a_home_named_from_another_directory_is_one_home_for_all_processes(tmp_path: Path) -> None:
    """A relative BATON_HOME means the directory the command was given in."""
    node = Node(tmp_path / "var", cwd=tmp_path, environ={"BATON_HOME": "var"})
    node.start()
    try:
        node.promote(version(node, 1))
        assert node.until_serving(1).seq == 1
        assert {path.name for path in node.home.iterdir()} >= {"node", "store", "node.sock"}
    finally:
        node.stop()


def test_a_home_with_a_long_path_is_served_and_nudged(tmp_path: Path) -> None:
    """A socket's address may have 108 bytes; a directory's path may have more."""
    node = Node(tmp_path / ("long-" * 20) / ("path-" * 20))
    node.start()
    try:
        node.promote(version(node, 1))
        assert node.until_serving(1).seq == 1
    finally:
        assert node.stop() == 0
