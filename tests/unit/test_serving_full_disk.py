"""Writes that fail: what serves goes on, and the next attempt is a whole one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import BundleInvalid
from serving.assignments import Assignments, Held
from serving.node.flip import Flipper
from serving.node.store import NodeStore
from serving.page import Page
from tests.servingfakes.versions import assignment
from tests.servingfakes.watched import WatchedNode
from tests.servingfakes.workers import FakeLoader, FlippingNode

A1, B2 = (assignment(digest, seq) for seq, digest in enumerate("AB", start=1))
NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


class Disk(Assignments):
    """Fails the writes whose numbers (from 1) it is told."""

    failing: frozenset[int] = frozenset()
    writes: int = 0

    def write(self, name: str, held: Held) -> None:
        object.__setattr__(self, "writes", self.writes + 1)
        if self.writes in self.failing:
            raise NO_ROOM
        super().write(name, held)

    def fail(self, *numbers: int) -> None:
        """Fail these of the writes from now on."""
        object.__setattr__(self, "writes", 0)
        object.__setattr__(self, "failing", frozenset(numbers))


class FullNode(FlippingNode):
    """A flipping node on such a disk."""

    disk: Disk

    def new_flipper(self, page: Page) -> Flipper:
        self.disk = Disk(self.home / "assignments")
        return Flipper(page, self.disk, ready_seconds=60, sleep=self._sleep, clock=lambda: 0.0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FullNode]:
    made = FullNode(tmp_path)
    yield made
    for worker in made.workers:
        worker.close()
    made.page.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedNode]:
    made = WatchedNode(tmp_path)
    made.head(made.version(1))
    made.step()
    yield made
    made.close()


# The writes of a flip: 1 prepares, 2 settles, and after either failed one more puts back.
@pytest.mark.parametrize("failing", [(1,), (1, 2), (2,), (2, 3)], ids=str)
def test_a_flip_that_cannot_be_written_leaves_the_old_version_and_succeeds_later(
    node: FullNode, failing: tuple[int, ...]
) -> None:
    worker = node.worker()
    node.flipper.flip(A1)
    node.disk.fail(*failing)
    with pytest.raises(OSError, match="No space left"):
        node.flipper.flip(B2)
    assert worker.answers() == (1, "A")
    held = node.flipper.held("iris")
    assert (held.current, held.preparing) == (A1, None), "else it would count as served"
    node.disk.fail()
    node.flipper.flip(B2)
    assert worker.answers() == (2, "B")


def test_a_node_that_cannot_write_starts_with_what_it_served(node: FullNode) -> None:
    """What a crash left half-prepared cannot be cleared away: that is no reason not to start."""
    node.flipper.flip(A1)
    node.disk.fail(3)
    node.disk.write("iris", Held(index=0, current=A1, preparing=B2))
    assert Assignments(node.home / "assignments").models()["iris"].preparing == B2

    class Full(Assignments):
        def write(self, name: str, held: Held) -> None:
            raise NO_ROOM

    flipper = Flipper(node.page, Full(node.home / "assignments"), ready_seconds=60)
    assert flipper.held("iris") == Held(index=0, current=A1)
    assert node.worker().answers() == (1, "A")


def test_a_refusal_that_could_not_be_written_is_written_when_it_is_said_again(
    node: FullNode,
) -> None:
    node.flipper.flip(A1)
    node.disk.fail(1)
    node.flipper.refuse("iris", "no room")
    on_disk = Assignments(node.home / "assignments")
    assert (node.flipper.held("iris").refused, on_disk.models()["iris"].refused) == ("no room", "")
    node.flipper.refuse("iris", "no room")
    assert on_disk.models()["iris"].refused == "no room"


def test_a_retirement_that_cannot_be_written_is_tried_again_at_the_next_poll(
    watched: WatchedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(Assignments, "write", _no_room)
        watched.retire()
        watched.step()
        assert watched.worker.answers()[0] == 1
    watched.step()
    assert watched.held().retired is not None


def test_a_full_disk_is_no_verdict_and_has_what_nobody_needs_removed(
    watched: WatchedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.watcher.keep_versions = 4
    for number in (2, 3, 4):
        watched.head(watched.version(number))
        watched.step()
    kept = {path.name for path in (watched.home / "store").iterdir()}
    with monkeypatch.context() as full:
        full.setattr(NodeStore, "keep", _no_room)
        watched.now += 3.0
        watched.head(watched.version(5))
        watched.step()
    held = watched.held()
    assert f"node store: No space left on device: '{watched.home / 'store'}'" in held.refused
    assert held.refused_key is None
    assert held.current
    assert held.previous
    left = {path.name for path in (watched.home / "store").iterdir()}
    assert left == {held.current.digest, held.previous.digest} < kept
    watched.now += 10
    watched.step()
    assert watched.held().current == assignment(watched.version(5).digest, 5)


def test_a_verdict_removes_nothing_from_the_store(watched: WatchedNode) -> None:
    watched.watcher.keep_versions = 4
    for number in (2, 3):
        watched.head(watched.version(number))
        watched.step()
    before = {path.name for path in (watched.home / "store").iterdir()}
    watched.trial.refused.add(watched.version(4).digest)
    watched.head(watched.version(4))
    watched.step()
    assert {path.name for path in (watched.home / "store").iterdir()} == before


def test_a_write_that_fails_leaves_no_half_file_and_names_the_one_it_was_for(
    tmp_path: Path,
) -> None:
    assignments = Assignments(tmp_path)
    assignments.write("iris", Held(index=0, current=A1))
    (tmp_path / "00000.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / '00000.json'}'"):
        assignments.write("iris", Held(index=0, current=B2, previous=A1))
    assert [path.name for path in tmp_path.iterdir()] == ["00000.json"]
    assert assignments.models()["iris"].current == A1


def _no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_worker_that_fails_is_still_a_verdict(node: FullNode) -> None:
    node.worker()
    node.flipper.flip(A1)
    node.worker(FakeLoader(broken={"B"}))
    with pytest.raises(BundleInvalid):
        node.flipper.flip(B2)
    assert node.flipper.held("iris").current == A1
