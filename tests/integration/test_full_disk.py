"""A node whose disk is full: the old version answers, the reason names the disk, room is used.

The disk is a real file system of a few pages (root is needed to mount it).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from registry.ledger import Route
from tests.missing import ServiceMissing
from tests.servingfakes import models
from tests.servingfakes.disks import Disk, small_disk
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route

_NO_ROOM = "No space left on device"


def _version(home: Path, number: int, *, weight: int = 0) -> Route:
    """A version that multiplies by its number, and takes so many bytes more."""
    made = folder(home / f"v{number}", models.linear(number))
    if weight:
        (made / "notes.bin").write_bytes(os.urandom(weight))
    return route(made, number)


class Asking:
    """Asks for a prediction all the time; what came, as (status, version, answer)."""

    def __init__(self, node: Node) -> None:
        self._node, self._stop = node, threading.Event()
        self.seen: set[tuple[int, str, str]] = set()
        self.count = 0
        self._thread = threading.Thread(target=self._ask, name="asking")

    def _ask(self) -> None:
        while not self._stop.wait(0.005):
            reply = self._node.predict(2.0)
            version = reply.headers.get("X-Model-Version", "")
            self.seen.add((reply.status, version, str(reply.json.get("predictions"))))
            self.count += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _disk(stack: ExitStack, path: Path, kilobytes: int) -> Disk:
    try:
        return stack.enter_context(small_disk(path, kilobytes=kilobytes))
    except ServiceMissing as missing:
        missing.skip_or_fail()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def _started(stack: ExitStack, home: Path) -> Node:
    """A node that serves v1, ended before its disk is."""
    node = Node(home / "var")
    stack.callback(node.stop)
    node.start()
    node.promote(_version(home, 1))
    node.until_serving(1)
    return node


def _reason(node: Node, part: str) -> str:
    """What `/models/iris` says, once it says this."""

    def told() -> str:
        row = node.ask("GET", "/models/iris").json
        return str(row["reason"]) if row["degraded"] and part in str(row["reason"]) else ""

    return str(node.until(told, f"{part!r} is shown"))


def test_a_full_store_refuses_a_version_by_name_and_takes_it_once_there_is_room(
    stack: ExitStack, tmp_path: Path
) -> None:
    store = _disk(stack, tmp_path / "var" / "store", kilobytes=1024)
    node = _started(stack, tmp_path)
    store.fill(leaving=128 * 1024)
    left = store.free_bytes
    with Asking(node) as asking:
        node.promote(_version(tmp_path, 2, weight=512 * 1024))
        reason = _reason(node, _NO_ROOM)
        assert "v2 refused" in reason
        assert f"node store: {_NO_ROOM}: '{store.path}'" in reason
        node.until(lambda: not list(store.path.glob("incoming-*")), "what came in part is gone")
        node.until(lambda: store.free_bytes == left, "and its room is free again")
        node.until(lambda: asking.count > 50, "requests are answered meanwhile")
        assert asking.seen == {(200, "1", "[[2.0]]")}
        told = node.until(
            lambda: [
                one
                for status in node.ledger.statuses().values()
                if _NO_ROOM in (one := status["models"]["iris"])["refused"]
            ],
            "the ledger is told",
        )
        assert told[0]["refused_seq"] is None, "a full disk is no verdict on the version"
        store.empty()
        node.until(lambda: len(asking.seen) > 1, "another version answers")
    assert asking.seen == {(200, "1", "[[2.0]]"), (200, "2", "[[4.0]]")}
    row = node.until_well()
    assert (row["reason"], row["version"]) == (None, "2")


def test_a_store_full_of_versions_that_nobody_needs_makes_room_by_itself(
    stack: ExitStack, tmp_path: Path
) -> None:
    """Four versions of 300 kB do not fit into a megabyte; two of them are needed at a time."""
    store = _disk(stack, tmp_path / "var" / "store", kilobytes=1024)
    node = _started(stack, tmp_path)
    with Asking(node) as asking:
        for number in range(2, 6):
            node.promote(_version(tmp_path, number, weight=300 * 1024))
            node.until_serving(number)
    assert {seen[0] for seen in asking.seen} == {200}
    assert len([path for path in store.path.iterdir() if path.is_dir()]) <= 3


def test_a_node_that_cannot_write_what_it_serves_goes_on_serving_and_swaps_once_it_can(
    stack: ExitStack, tmp_path: Path
) -> None:
    """Assignments, page and metrics lie on a disk that is full: the flip's own write fails."""
    disk = _disk(stack, tmp_path / "var" / "node", kilobytes=4096)
    node = _started(stack, tmp_path)
    watcher = node.pid_of("serving.node")
    disk.fill()
    with Asking(node) as asking:
        node.promote(_version(tmp_path, 2))
        node.until(
            lambda: [
                status
                for status in node.ledger.statuses().values()
                if _NO_ROOM in str(status["models"].get("iris"))
            ],
            "the ledger is told what the node could not write down",
        )
        assert node.pid_of("serving.node") == watcher, "the watcher goes on"
        node.until(lambda: asking.count > 50, "requests are answered meanwhile")
        assert asking.seen == {(200, "1", "[[2.0]]")}
        disk.empty()
        node.until_serving(2)
    assert {seen[0] for seen in asking.seen} == {200}
    assert node.pid_of("serving.node") == watcher
    node.until_well()


def test_a_full_disk_stops_neither_a_new_worker_nor_a_new_watcher_nor_a_restart(
    stack: ExitStack, tmp_path: Path
) -> None:
    disk = _disk(stack, tmp_path / "var" / "node", kilobytes=4096)
    node = _started(stack, tmp_path)
    disk.fill()
    before = node.worker_pids()
    for pid in (*before, node.pid_of("serving.node")):
        os.kill(pid, signal.SIGKILL)
    node.until(lambda: len(node.worker_pids() - before) == 2, "new workers are there")
    assert node.until_serving(1).json["predictions"] == [[1.0]]
    node.promote(_version(tmp_path, 2))
    node.until(lambda: "v2" in node.log() and _NO_ROOM in node.log(), "the new watcher tried v2")
    seen = {(reply.status, reply.seq) for reply in (node.predict() for _ in range(50))}
    assert seen == {(200, 1)}
    node.stop()
    disk.fill()  # the little that its end gave back
    node.start()
    assert node.until_serving(1).json["predictions"] == [[1.0]]
    disk.empty()
    assert node.until_serving(2).json["predictions"] == [[2.0]]
