"""The spool: what a worker writes is read again, whatever became of the worker or of some bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import NotLogged
from registry.predictions import Position
from serving.spool import folder
from serving.spool.frames import framed, frames
from serving.spool.reader import Batch, read
from serving.spool.usage import Usage
from serving.spool.writer import Writer
from tests.fakes.spooled import record
from tests.missing import ServiceMissing
from tests.servingfakes.disks import small_disk
from tests.servingfakes.node import ROOT

MIB = 1024 * 1024
START = Position(0, 0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "spool", most_bytes=64 * MIB)
    yield made
    made.close()


def lane_of(tmp_path: Path) -> Path:
    [lane] = folder.lanes(tmp_path / "spool")
    return lane


def whole(lane: Path, since: Position = START, *, is_held: bool = True) -> Batch:
    return read(lane, since, is_held=is_held, most_records=10_000, most_bytes=64 * MIB)


def texts(batch: Batch) -> list[bytes]:
    return [text for text, _ in batch.records]


def spoil(path: Path, at: int, what: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(what)] = what
    path.write_bytes(data)


def test_what_is_written_is_read_in_its_order(writer: Writer, tmp_path: Path) -> None:
    written = [record(n) for n in range(100)]
    for one in written:
        writer.append(one)
    batch = whole(lane_of(tmp_path))
    assert texts(batch) == written
    assert (batch.is_all, batch.damaged, batch.finished) == (True, [], [])


def test_nothing_is_made_before_the_first_record(tmp_path: Path) -> None:
    Writer(tmp_path / "spool", most_bytes=MIB).close()
    assert list(tmp_path.iterdir()) == []


def test_reading_goes_on_where_it_ended(writer: Writer, tmp_path: Path) -> None:
    at, seen = START, []
    for n in range(10):
        writer.append(record(n))
        batch = whole(lane_of(tmp_path), at)
        seen += texts(batch)
        at = batch.upto
    assert seen == [record(n) for n in range(10)]
    assert whole(lane_of(tmp_path), at).upto == at


def test_a_batch_is_as_large_as_is_asked_for(writer: Writer, tmp_path: Path) -> None:
    for n in range(10):
        writer.append(record(n))
    some = read(lane_of(tmp_path), START, is_held=True, most_records=4, most_bytes=MIB)
    assert (texts(some), some.is_all) == ([record(n) for n in range(4)], False)
    few = read(lane_of(tmp_path), some.upto, is_held=True, most_records=100, most_bytes=1)
    assert (texts(few), few.is_all) == ([record(4)], False)


def test_a_segment_ends_by_its_size_and_by_its_age_and_is_then_finished(tmp_path: Path) -> None:
    clock = Clock()
    writer = Writer(tmp_path / "spool", most_bytes=MIB, clock=clock)
    large = record(0, inputs={"text": ["x" * 40_000]})
    for _ in range(3):  # segments of 64 KiB
        writer.append(large)
    assert folder.segments(lane_of(tmp_path)) == [1, 2, 3]
    clock.now += 60
    writer.append(record(1))
    batch = whole(lane_of(tmp_path))
    assert texts(batch) == [large] * 3 + [record(1)]
    assert batch.finished == [1, 2, 3], "the last one may still grow"
    writer.close()
    assert whole(lane_of(tmp_path), is_held=False).finished == [1, 2, 3, 4]


def test_segments_before_the_position_are_finished(writer: Writer, tmp_path: Path) -> None:
    writer.append(record(0))
    lane = lane_of(tmp_path)
    batch = whole(lane, Position(7, 0), is_held=False)
    assert (texts(batch), batch.finished) == ([], [1])


def test_an_idle_worker_begins_no_segment(tmp_path: Path) -> None:
    clock = Clock()
    writer = Writer(tmp_path / "spool", most_bytes=MIB, clock=clock)
    writer.append(record(0))
    clock.now += 3600
    assert folder.segments(lane_of(tmp_path)) == [1]
    writer.close()


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 100])
def test_a_torn_end_is_the_end_of_a_dead_lane_and_waited_for_in_a_living_one(
    writer: Writer, tmp_path: Path, cut: int
) -> None:
    for n in range(3):
        writer.append(record(n))
    path = folder.segment(lane_of(tmp_path), 1)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    for is_held in (True, False):
        batch = whole(lane_of(tmp_path), is_held=is_held)
        assert (texts(batch), batch.damaged) == ([record(0), record(1)], [])
        assert batch.finished == ([] if is_held else [1])
    path.write_bytes(data)
    assert texts(whole(lane_of(tmp_path), batch.upto)) == [record(2)], "nothing was passed over"


@pytest.mark.parametrize("is_held", [True, False])
@pytest.mark.parametrize("what", [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x05", b"\0\0\x01\x00"])
def test_behind_a_damaged_length_the_next_record_is_found(
    writer: Writer, tmp_path: Path, what: bytes, is_held: bool
) -> None:
    for n in range(4):
        writer.append(record(n))
    begin = len(framed(record(0)))
    spoil(folder.segment(lane_of(tmp_path), 1), begin, what)
    batch = whole(lane_of(tmp_path), is_held=is_held)
    assert texts(batch) == [record(0), record(2), record(3)]
    [(where, bytes_)] = batch.damaged
    assert (where, len(bytes_)) == (Position(1, begin), len(framed(record(1))))


def test_a_changed_byte_costs_one_record(writer: Writer, tmp_path: Path) -> None:
    for n in range(4):
        writer.append(record(n))
    spoil(folder.segment(lane_of(tmp_path), 1), len(framed(record(0))) + 50, b"\x01")
    batch = whole(lane_of(tmp_path))
    assert texts(batch) == [record(0), record(2), record(3)]
    assert len(batch.damaged) == 1


def test_a_damaged_last_record_of_a_dead_lane_is_damage(writer: Writer, tmp_path: Path) -> None:
    writer.append(record(0))
    writer.append(record(1))
    spoil(folder.segment(lane_of(tmp_path), 1), len(framed(record(0))) + 50, b"\x01")
    assert whole(lane_of(tmp_path)).damaged == [], "it may be being written"
    batch = whole(lane_of(tmp_path), is_held=False)
    assert (texts(batch), len(batch.damaged)) == ([record(0)], 1)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whatever_bytes_change_every_record_that_is_untouched_is_read(data: st.DataObject) -> None:
    payloads = [record(n) for n in range(8)]
    raw = b"".join(map(framed, payloads))
    at = data.draw(st.integers(0, len(raw) - 1))
    bad = data.draw(st.binary(min_size=1, max_size=40))
    changed = (raw[:at] + bad + raw[at + len(bad) :])[: len(raw)]
    untouched, end = [], 0
    for payload in payloads:
        begin, end = end, end + len(framed(payload))
        if changed[begin:end] == raw[begin:end]:
            untouched.append(payload)
    found = [f.payload for f in frames(changed, is_whole=True) if f.payload is not None]
    assert found == untouched


def test_a_full_spool_takes_no_record_and_refusals_leave_room(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    usage, writer = Usage(spool), Writer(spool, most_bytes=MIB)
    usage.tell(600_000)
    with pytest.raises(NotLogged, match="no room"):
        writer.append(record(0), within=0.5)
    writer.append(record(1))
    usage.tell(MIB)
    with pytest.raises(NotLogged, match="no room"):
        writer.append(record(2))
    usage.tell(0)
    writer.append(record(3))
    assert texts(whole(lane_of(tmp_path))) == [record(1), record(3)]
    writer.close()


def test_between_two_looks_of_the_shipper_a_worker_counts_for_all(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "spool", most_bytes=100_000, workers=4)
    large = record(0, inputs={"text": ["x" * 10_000]})
    for _ in range(3):
        writer.append(large)
    with pytest.raises(NotLogged):
        writer.append(large)
    assert len(texts(whole(lane_of(tmp_path)))) == 3
    writer.close()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    try:
        with small_disk(tmp_path / "spool", kilobytes=1024) as disk:
            writer = Writer(tmp_path / "spool", most_bytes=64 * MIB)
            writer.append(record(0))
            disk.fill()
            refused = 0
            for _ in range(30):
                try:
                    writer.append(record(1))
                except NotLogged:
                    refused += 1
            with pytest.raises(NotLogged, match="cannot be written"):
                writer.append(record(1))
            assert refused
            disk.empty()
            writer.append(record(2))
            batch = whole(lane_of(tmp_path))
            assert texts(batch) == [record(0), *[record(1)] * (30 - refused), record(2)]
            writer.close()
    except ServiceMissing as missing:
        missing.skip_or_fail()


def test_a_folder_that_somebody_removed_is_made_again(writer: Writer, tmp_path: Path) -> None:
    clock = Clock()
    writer = Writer(tmp_path / "spool", most_bytes=MIB, clock=clock)
    writer.append(record(0))
    lane = lane_of(tmp_path)
    folder.segment(lane, 1).unlink()
    lane.rmdir()
    clock.now += 60
    with pytest.raises(NotLogged):
        writer.append(record(1))
    writer.append(record(2))
    assert texts(whole(lane_of(tmp_path))) == [record(2)]
    writer.close()


def test_a_lane_is_held_by_its_worker_until_that_is_gone_however_it_ended(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from serving.spool.writer import Writer\n"
        "Writer(Path(sys.argv[1]), most_bytes=1 << 20).append(b'{\"n\":1}')\n"
        "print('written', flush=True); time.sleep(600)"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "spool")], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert worker.stdout
    assert worker.stdout.readline() == b"written\n"
    lane = lane_of(tmp_path)
    assert folder.is_held(lane)
    worker.kill()
    worker.communicate()
    assert not folder.is_held(lane)
    assert texts(whole(lane, is_held=False)) == [b'{"n":1}']


def test_a_spool_keeps_its_id(tmp_path: Path) -> None:
    assert folder.identity(tmp_path / "a") == folder.identity(tmp_path / "a")
    assert folder.identity(tmp_path / "a") != folder.identity(tmp_path / "b")


def test_what_a_killed_worker_had_only_begun_to_make_is_swept_up_later(tmp_path: Path) -> None:
    half = tmp_path / ".new-1"
    half.mkdir()
    now = half.stat().st_mtime
    folder.sweep(tmp_path, now + 1)
    assert half.exists()
    folder.sweep(tmp_path, now + 3600)
    assert not half.exists()


def test_the_bytes_of_a_spool_are_those_of_its_segments(writer: Writer, tmp_path: Path) -> None:
    assert folder.used_bytes(tmp_path / "spool") == 0
    writer.append(record(0))
    assert folder.used_bytes(tmp_path / "spool") == len(framed(record(0)))
    assert [path.name for path in lane_of(tmp_path).iterdir()] == ["00000001.seg"]
