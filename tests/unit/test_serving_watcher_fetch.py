"""The watcher and a bad artifact store: what came is kept, what is not wanted is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.node.fetch import Fetcher
from tests.servingfakes.sources import FakeSource
from tests.servingfakes.watched import WatchedNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WatchedNode]:
    made = WatchedNode(tmp_path)
    yield made
    made.close()


def _from(node: WatchedNode, source: FakeSource, *, seconds: float = 600.0) -> FakeSource:
    node.watcher.intake.fetcher = Fetcher(addresses=source, seconds=seconds, clock=source.clock)
    return source


def _parts(node: WatchedNode) -> list[str]:
    return sorted(path.name for path in (node.home / "store").glob("incoming-*"))


def test_a_fetch_that_broke_off_is_shown_and_continued_when_it_is_time(node: WatchedNode) -> None:
    two = node.version(2)
    source = _from(node, FakeSource({"model.onnx": b"model 2"}, piece_seconds=1.0), seconds=1.0)
    node.head(two)
    node.step()
    assert "v2 refused: " in node.held().refused
    assert "model.onnx: not all there after 1 s" in node.held().refused
    assert node.held().refused_key is None, "a store that is slow is no verdict on the version"
    assert _parts(node) == [f"incoming-{two.digest}"]
    node.now = 2.0
    node.step()
    assert node.worker.answers() == (1, two.digest)
    assert source.asked == [("model.onnx", 0), ("model.onnx", 4)]
    assert (source.given, _parts(node)) == (7, [])


def test_what_broke_off_is_removed_once_another_version_is_wanted(node: WatchedNode) -> None:
    _from(node, FakeSource({"model.onnx": b"model 1"}, piece_seconds=1.0), seconds=1.0)
    node.head(node.version(1))
    node.step()
    assert len(_parts(node)) == 1
    node.watcher.intake.fetcher = Fetcher()
    node.head(node.version(2))
    node.step()
    assert node.worker.answers()[1] == node.version(2).digest
    assert _parts(node) == []


def test_wrong_bytes_are_not_what_the_next_attempt_begins_with(node: WatchedNode) -> None:
    one = node.version(1)
    source = _from(node, FakeSource({"model.onnx": b"motel 1"}))
    node.head(one)
    node.step()
    assert "model.onnx: expected sha256" in node.held().refused
    assert _parts(node) == []
    source.files["model.onnx"] = b"model 1"
    node.now = 2.0
    node.step()
    assert node.worker.answers() == (1, one.digest)


def test_a_hanging_fetch_does_not_hold_up_the_version_promoted_after_it(node: WatchedNode) -> None:
    one, two = node.version(1), node.version(2)
    hanging = _from(node, FakeSource({"model.onnx": b"model 1"}, hangs=threading.Event()))
    node.head(one)
    node.step(wait=False)
    _until(lambda: bool(hanging.asked))
    node.watcher.intake.fetcher = Fetcher()
    node.head(two)
    node.step()
    assert node.worker.answers() == (2, two.digest)
    assert node.held().refused == "", "what was overtaken is no fault of anybody"
    hanging.hangs.set()


def test_the_watcher_is_woken_when_a_fetch_ends_so_that_it_need_not_look_all_the_time(
    node: WatchedNode,
) -> None:
    woken = threading.Event()
    node.watcher.wake = woken.set
    node.head(node.version(1))
    node.step(wait=False)
    assert woken.wait(10)
    node.step(wait=False)
    assert node.worker.answers()[0] == 1


def test_a_watcher_that_closes_ends_its_fetch(node: WatchedNode) -> None:
    hanging = _from(node, FakeSource({"model.onnx": b"model 1"}, hangs=threading.Event()))
    node.head(node.version(1))
    node.step(wait=False)
    _until(lambda: bool(hanging.asked))
    _, fetching = node.watcher._loading["iris"]
    node.watcher.close()
    _until(fetching.done)
    hanging.hangs.set()


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert check()
