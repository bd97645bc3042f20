"""The fetch: in time or given up, continued where it broke off, never more than was judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.bundle import FileDigest, Manifest
from registry.errors import BundleInvalid, LostRace, Unreachable
from serving.node.fetch import Fetcher
from tests.servingfakes.sources import FakeSource

CONTENT = bytes(range(100))


@pytest.fixture
def source() -> FakeSource:
    return FakeSource({"model.onnx": CONTENT})


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "files"


def _fetch(source: FakeSource, into: Path, *, seconds: float = 10.0) -> None:
    fetcher = Fetcher(addresses=source, seconds=seconds, clock=source.clock)
    fetcher.fetch("fake://version", source.manifest(), into)


def test_every_file_arrives_whole_and_every_stream_is_closed(
    source: FakeSource, into: Path
) -> None:
    source.files["baton/bundle.json"] = b"{}"
    source.files["empty"] = b""
    _fetch(source, into)
    found = {str(p.relative_to(into)): p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert found == source.files
    _settles(lambda: source.opened == source.closed == 3)


def _settles(check: Callable[[], bool]) -> None:
    """What the reading thread does after the answer: soon, not at once."""
    deadline = time.monotonic() + 10
    while not check() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert check()


def test_a_slow_store_is_given_up_at_the_deadline_and_what_came_is_kept(
    source: FakeSource, into: Path
) -> None:
    source.piece_seconds = 1.0
    with pytest.raises(Unreachable, match="fake://version/model.onnx: not all there after 10 s"):
        _fetch(source, into)
    assert (into / "model.onnx").read_bytes() == CONTENT[:40]
    assert source.clock.now == 10.0
    _settles(lambda: source.opened == source.closed)


def test_the_deadline_is_for_the_whole_version_not_for_each_file(
    source: FakeSource, into: Path
) -> None:
    source.files = {f"file{number}": b"1234" for number in range(20)}
    source.open_seconds = 1.0
    with pytest.raises(Unreachable, match="file9: not all there"):
        _fetch(source, into)
    assert len(source.asked) == 10


def test_the_next_attempt_asks_only_for_the_rest(source: FakeSource, into: Path) -> None:
    source.files["another"] = b"whole already"
    source.piece_seconds = 1.0
    for _ in range(2):
        with pytest.raises(Unreachable):
            _fetch(source, into)
    source.piece_seconds = 0.0
    _fetch(source, into)
    assert (into / "model.onnx").read_bytes() == CONTENT
    assert source.asked[:3] == [("model.onnx", 0), ("model.onnx", 40), ("model.onnx", 80)]
    assert source.given == sum(map(len, source.files.values())), "no byte came twice"


def test_a_stream_that_breaks_off_is_continued_at_once(source: FakeSource, into: Path) -> None:
    source.breaks_after = 40
    _fetch(source, into)
    assert (into / "model.onnx").read_bytes() == CONTENT
    assert source.asked == [("model.onnx", 0), ("model.onnx", 40), ("model.onnx", 80)]


def test_a_stream_that_always_breaks_off_at_once_is_given_up(
    source: FakeSource, into: Path
) -> None:
    source.breaks_after = 0
    with pytest.raises(Unreachable, match="broke off"):
        _fetch(source, into)
    assert len(source.asked) == 1


def test_a_stream_that_ends_early_and_says_how_long_it_is_has_broken_off(
    source: FakeSource, into: Path
) -> None:
    class Ending(FakeSource):
        def _pieces(self, content: bytes):
            yield from super()._pieces(content[:0])

    with pytest.raises(Unreachable, match="broke off, 100 of 100 bytes missing"):
        _fetch(Ending(source.files), into)


def test_a_store_without_ranges_is_read_from_the_beginning(source: FakeSource, into: Path) -> None:
    source.piece_seconds, source.has_ranges = 1.0, False
    with pytest.raises(Unreachable):
        _fetch(source, into)
    source.piece_seconds = 0.0
    _fetch(source, into)
    assert (into / "model.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize("says_size", [True, False], ids=["said", "not said"])
@pytest.mark.parametrize("there", [101, 5_000_000, 99, 0])
def test_a_longer_or_shorter_file_is_refused_and_no_more_is_written_than_was_judged(
    source: FakeSource, into: Path, there: int, says_size: bool
) -> None:
    judged = source.manifest()
    source.files["model.onnx"], source.says_size = bytes(there), says_size
    with pytest.raises(BundleInvalid, match="model.onnx: the manifest says 100 bytes"):
        Fetcher(addresses=source).fetch("fake://version", judged, into)
    assert source.given <= 104, "a store that sends more is cut off"
    written = into / "model.onnx"
    assert not written.exists() or written.stat().st_size <= 100
    _settles(lambda: source.closed == (0 if says_size else source.opened))


def test_a_file_that_is_not_there_is_named(source: FakeSource, into: Path) -> None:
    judged = source.manifest()
    source.files = {}
    with pytest.raises(BundleInvalid, match="model.onnx: no such object"):
        Fetcher(addresses=source).fetch("fake://version", judged, into)


def test_no_store_is_asked_if_any_name_leaves_the_folder(source: FakeSource, into: Path) -> None:
    names = {**source.manifest().files, "../outside": FileDigest("0" * 64, 1)}
    with pytest.raises(BundleInvalid, match="leaves the version's directory"):
        Fetcher(addresses=source).fetch("fake://version", Manifest(names), into)
    assert source.asked == []


def test_a_trickle_is_given_up_long_before_a_late_deadline(source: FakeSource, into: Path) -> None:
    source.piece_seconds = 1.0
    with pytest.raises(Unreachable, match="only 80 bytes in 20 s"):
        _fetch(source, into, seconds=600)
    assert source.clock.now == 20.0


def test_many_small_files_from_a_far_store_are_no_trickle(source: FakeSource, into: Path) -> None:
    source.files = {f"file{number}": b"1234" for number in range(50)}
    source.open_seconds = 3.0
    _fetch(source, into, seconds=600)
    assert len(list(into.iterdir())) == 50


def test_a_large_file_at_a_fair_rate_is_no_trickle(source: FakeSource, into: Path) -> None:
    source.files["model.onnx"] = bytes(1_000_000)
    source.piece, source.piece_seconds = 5_000, 1.0
    _fetch(source, into, seconds=600)
    assert source.clock.now == 200.0


def test_a_store_that_hangs_is_left_at_the_deadline_whatever_it_does(
    source: FakeSource, into: Path
) -> None:
    """Real time: nothing that a step does on its thread can hold up who waits for it."""
    source.hangs = threading.Event()
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="not all there after 0.3 s"):
        Fetcher(addresses=source, seconds=0.3).fetch("fake://v", source.manifest(), into)
    assert time.monotonic() - begun < 5
    assert [t for t in threading.enumerate() if t.name == "fetch-reader" and not t.daemon] == []
    source.hangs.set()


def test_a_step_that_comes_back_late_writes_nothing(source: FakeSource, into: Path) -> None:
    source.hangs = threading.Event()
    with pytest.raises(Unreachable):
        Fetcher(addresses=source, seconds=0.1).fetch("fake://v", source.manifest(), into)
    source.hangs.set()
    _settles(lambda: source.opened == 1)
    _settles(lambda: not any(t.name == "fetch-reader" for t in threading.enumerate()))
    assert not (into / "model.onnx").exists()


def test_a_fetch_ends_as_soon_as_another_version_is_wanted(source: FakeSource, into: Path) -> None:
    with pytest.raises(LostRace, match="another version is wanted"):
        Fetcher(addresses=source).fetch(
            "fake://v", source.manifest(), into, wanted=lambda: source.given < 40
        )
    assert source.given == 40
