"""The shipper: whatever happens to it or to the sink, each record is in the sink once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registry.errors import Unreachable
from registry.predictions import Prediction
from serving import metrics
from serving.shipping.pace import LOOK_SECONDS, Pace
from serving.shipping.shipper import Shipper
from serving.spool import folder
from serving.spool.frames import framed
from serving.spool.usage import Usage
from serving.spool.writer import Writer
from tests.fakes.prediction_sink import FakeSink
from tests.fakes.spooled import identities, identity, record

MIB = 1024 * 1024


class Bench:
    """A spool, a sink and the shipper between them, which may be killed."""

    def __init__(self, root: Path) -> None:
        self.spool, self.sink = root / "spool", FakeSink()
        self.now = 1_769_700_000.0
        self.shipper = self.another()

    def another(self, **changed: int) -> Shipper:
        """A new process's: it knows nothing but the files and the sink."""
        self.shipper = Shipper(
            self.spool, sink=lambda: self.sink, clock=lambda: self.now, **changed
        )
        return self.shipper

    def writer(self) -> Writer:
        return Writer(self.spool, most_bytes=64 * MIB)

    def aside(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.spool / "corrupt").glob("*"))]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def writer(bench: Bench) -> Iterator[Writer]:
    made = bench.writer()
    yield made
    made.close()


def test_what_workers_wrote_is_in_the_sink_in_their_order(bench: Bench) -> None:
    writers = [bench.writer() for _ in range(3)]
    for n in range(30):
        writers[n % 3].append(record(n))
    assert bench.shipper.step() == 30
    assert bench.shipper.step() == 0
    assert sorted(bench.sink.ids) == identities(30)
    firsts = [one.prediction_id for one in bench.sink.records[:10]]
    assert firsts == [identity(n) for n in range(0, 30, 3)]
    assert bench.sink.records[0].inputs == {"x": [0.0]}


def test_an_open_segment_is_shipped_while_it_grows(bench: Bench, writer: Writer) -> None:
    for n in range(5):
        writer.append(record(n))
        assert bench.shipper.step() == 1
    assert bench.sink.ids == identities(5)


def test_a_lane_whose_worker_is_gone_is_removed_once_it_is_shipped(bench: Bench) -> None:
    writer = bench.writer()
    writer.append(record(0))
    bench.shipper.step()
    [lane] = folder.lanes(bench.spool)
    assert folder.segments(lane) == [1], "somebody may still write there"
    bench.sink.away = True
    writer.append(record(1))
    writer.close()
    with pytest.raises(Unreachable):
        bench.shipper.step()
    assert folder.lanes(bench.spool) == [lane], "not before it is shipped"
    bench.sink.away = False
    bench.shipper.step()
    assert folder.lanes(bench.spool) == []
    assert bench.sink.ids == identities(2)


def test_segments_that_are_shipped_leave_while_their_worker_lives(
    bench: Bench, writer: Writer
) -> None:
    large = [record(n, inputs={"text": ["x" * 1_500_000]}) for n in range(8)]
    for one in large:
        writer.append(one)
    [lane] = folder.lanes(bench.spool)
    assert len(folder.segments(lane)) > 2
    while bench.shipper.step():
        pass
    assert len(folder.segments(lane)) == 1
    assert bench.sink.ids == identities(8)


def test_a_shipper_that_was_killed_is_followed_by_one_that_goes_on(
    bench: Bench, writer: Writer
) -> None:
    for n in range(10):
        writer.append(record(n))
        bench.another().step()
    assert bench.sink.ids == identities(10)


def test_an_answer_that_was_lost_costs_no_record_and_doubles_none(
    bench: Bench, writer: Writer
) -> None:
    writer.append(record(0))
    bench.sink.answer_lost = True
    with pytest.raises(Unreachable):
        bench.shipper.step()
    writer.append(record(1))
    bench.shipper.step()
    assert bench.sink.ids == identities(2)


def test_a_segment_that_was_shipped_and_could_not_be_removed_is_removed_later(
    bench: Bench, writer: Writer
) -> None:
    writer.append(record(0))
    [lane] = folder.lanes(bench.spool)
    bench.shipper.step()
    writer.close()
    assert bench.another().step() == 0
    assert not lane.exists()


def test_a_batch_has_a_size(bench: Bench, writer: Writer) -> None:
    for n in range(25):
        writer.append(record(n))
    shipper = bench.another(most_records=10)
    assert [(shipper.step(), shipper.has_more) for _ in range(4)] == [
        (10, True),
        (10, True),
        (5, False),
        (0, False),
    ]
    assert bench.sink.batches == [10, 10, 5]


def test_a_damaged_record_is_kept_aside_and_holds_up_nobody(bench: Bench, writer: Writer) -> None:
    for n in range(3):
        writer.append(record(n))
    [lane] = folder.lanes(bench.spool)
    path = folder.segment(lane, 1)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"r1"', b'"?1"'))
    corrupt = metrics.LOG_CORRUPT._value.get()
    bench.shipper.step()
    assert bench.sink.ids == [identity(0), identity(2)]
    assert metrics.LOG_CORRUPT._value.get() == corrupt + 1
    [kept] = bench.aside()
    assert b'"?1"' in kept
    bench.another().step()
    assert len(bench.aside()) == 1


@pytest.mark.parametrize("text", [b"[1]", b'{"n": 1}', b'{"prediction_id": '])
def test_what_is_no_record_is_kept_aside(bench: Bench, writer: Writer, text: bytes) -> None:
    writer.append(record(0))
    writer.append(text)
    writer.append(record(1))
    bench.shipper.step()
    assert (bench.sink.ids, bench.aside()) == (identities(2), [text])


def test_a_newer_version_s_record_is_understood(bench: Bench, writer: Writer) -> None:
    writer.append(record(0, shoe_size=44))
    bench.shipper.step()
    assert bench.sink.ids == identities(1)


def test_a_record_that_the_sink_refuses_is_kept_aside_with_the_reason(
    bench: Bench, writer: Writer
) -> None:
    bench.sink.refuses = lambda one: one.request_id == "r1"
    for n in range(3):
        writer.append(record(n))
    bench.shipper.step()
    assert bench.sink.ids == [identity(0), identity(2)]
    [kept] = map(orjson.loads, bench.aside())
    assert kept["refused"] == f"cannot hold {identity(1)}"
    assert kept["prediction"]["inputs"] == {"x": [1.0]}
    writer.append(record(3))
    assert bench.shipper.step() == 1


def test_a_sink_that_takes_nothing_at_all_is_at_fault_itself(bench: Bench, writer: Writer) -> None:
    bench.sink.refuses = lambda _: True
    for n in range(3):
        writer.append(record(n))
        with pytest.raises(ValueError, match="cannot hold"):
            bench.shipper.step()
    assert bench.aside() == []
    bench.sink.refuses = lambda _: False
    assert bench.shipper.step() == 3


def test_a_sink_that_goes_away_among_refused_records_costs_none(
    bench: Bench, writer: Writer
) -> None:
    for n in range(4):
        writer.append(record(n))

    def refuses(one: Prediction) -> bool:
        bench.sink.answer_lost = one.request_id == "r2"
        return one.request_id == "r1"

    bench.sink.refuses = refuses
    with pytest.raises(Unreachable):
        bench.shipper.step()
    assert (bench.sink.ids, len(bench.aside())) == ([identity(0), identity(2)], 1)
    bench.sink.refuses = lambda _: False
    bench.shipper.step()
    assert bench.sink.ids == [identity(0), identity(2), identity(3)]


def test_workers_are_told_how_full_the_spool_is_even_while_the_sink_is_away(
    bench: Bench, writer: Writer
) -> None:
    bench.sink.away = True
    writer.append(record(0))
    for _ in range(2):
        with pytest.raises(Unreachable):
            bench.shipper.step()
    usage = Usage(bench.spool)
    assert usage.told() == (2, folder.used_bytes(bench.spool))
    assert metrics.LOG_SPOOL_BYTES._value.get() == folder.used_bytes(bench.spool) > 0
    usage.close()


def test_it_says_until_when_everything_is_shipped(bench: Bench, writer: Writer) -> None:
    def until() -> float:
        return float(metrics.LOG_SHIPPED_UNTIL._value.get())

    bench.shipper.step()
    assert until() == bench.now
    first = bench.now
    bench.now += 100
    bench.sink.away = True
    writer.append(record(0, time=bench.now - 50))
    with pytest.raises(Unreachable):
        bench.shipper.step()
    assert until() <= bench.now - 50
    bench.now += 1000
    with pytest.raises(Unreachable):
        bench.shipper.step()
    assert first <= until() <= bench.now - 1050
    bench.sink.away = False
    bench.shipper.step()
    assert until() == bench.now


def test_it_waits_longer_each_time_the_sink_is_away_and_no_two_nodes_alike() -> None:
    pace, other = Pace(lambda: 1.0), Pace(lambda: 0.0)
    waits = [pace.after_failure() for _ in range(12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2 * LOOK_SECONDS, 10.0)
    assert other.after_failure() == waits[0] / 2
    assert (pace.after(has_more=False), pace.after(has_more=True)) == (LOOK_SECONDS, 0.0)
    assert pace.after_failure() == waits[0]


class Story(RuleBasedStateMachine):
    """Whatever workers, shippers and sink do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        # hypothesis has no fixtures
        from tempfile import TemporaryDirectory  # noqa: PLC0415

        self._folder = TemporaryDirectory()
        self.bench = Bench(Path(self._folder.name))
        self.writers = [self.bench.writer()]
        self.written = 0

    @rule(who=st.integers(0, 9), size=st.sampled_from([1, 100, 30_000]))
    def write(self, who: int, size: int) -> None:
        text = record(self.written, inputs={"text": ["x" * size]})
        self.writers[who % len(self.writers)].append(text)
        self.written += 1

    @rule()
    def worker_is_born(self) -> None:
        self.writers.append(self.bench.writer())

    @rule(cut=st.integers(0, 200))
    def worker_dies_in_a_write(self, cut: int) -> None:
        writer = self.writers.pop(0)
        if writer._lane:
            path = folder.segment(writer._lane, writer._number)
            with path.open("ab") as file:
                file.write(framed(record(10**6))[:cut])
        writer.close()
        self.writers.append(self.bench.writer())

    @rule()
    def ship(self) -> None:
        if not (self.bench.sink.away or self.bench.sink.answer_lost):
            self.bench.shipper.step()
            return
        try:
            self.bench.shipper.step()
        except Unreachable:
            return

    @rule()
    def shipper_is_killed(self) -> None:
        self.bench.another(most_records=3)

    @rule(away=st.booleans())
    def sink_goes_or_comes(self, away: bool) -> None:
        self.bench.sink.away = away

    @rule()
    def answer_will_be_lost(self) -> None:
        self.bench.sink.answer_lost = True

    @invariant()
    def nothing_is_there_that_was_not_written(self) -> None:
        ids = self.bench.sink.ids
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(identities(self.written))

    def teardown(self) -> None:
        self.bench.sink.away = self.bench.sink.answer_lost = False
        while self.bench.shipper.step() or self.bench.shipper.has_more:
            pass
        assert sorted(self.bench.sink.ids) == identities(self.written)
        for writer in self.writers:
            writer.close()
        self.bench.shipper.step()
        assert folder.lanes(self.bench.spool) == []
        self._folder.cleanup()


TestStories = Story.TestCase
TestStories.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
