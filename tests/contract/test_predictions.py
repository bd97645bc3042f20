"""Where predictions end, on sqlite and PostgreSQL: each exactly once, whoever ships it again."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from registry import predictions_tables as tables
from registry.errors import SettingsError, Unreachable
from registry.predictions import Position, Prediction
from registry.predictions_rows import to_row
from registry.settings import Settings
from registry.sql_predictions import PAGE, SqlPredictions, open_log, open_sink
from tests.fakes.crash import Crash, Doom
from tests.fakes.predicted import NOON, faults, made, some

Open = Callable[[], SqlPredictions]
SPOOL, LANE = "spool-1", "lane-1"
EVER = (0.0, 1e11)
DAY = 86_400.0


@pytest.fixture
def open_predictions(url: str) -> Iterator[Open]:
    """Opens one more connection of a process's own to the same log."""
    opened: list[SqlPredictions] = []

    def open_one() -> SqlPredictions:
        opened.append(SqlPredictions(url))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def log(open_predictions: Open) -> SqlPredictions:
    """A new log."""
    return open_predictions()


def kept(log: SqlPredictions, model: str = "iris") -> list[Prediction]:
    return list(log.executions(model, *EVER))


def put(log: SqlPredictions, *records: Prediction, lane: str = "by-hand") -> int:
    """Ship some more of a lane."""
    at = log.position(SPOOL, lane)
    return log.append(SPOOL, lane, records, Position(at.segment, at.offset + 1))


def aside(url: str) -> Sequence[sa.Row]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(tables.refused)).all()
    engine.dispose()
    return rows


def test_records_come_back_as_they_were_and_oldest_first(log: SqlPredictions) -> None:
    sent = [
        made(1, time=NOON + 3),
        made(2, epoch=None, seq=None, attempt_of="a", version="", confidence=None),
        made(3, status=422, error="SignatureMismatch", inputs={}, outputs={}, rows=0),
        made(4, last_known_price=31.5, data_points=1250, arm="shadow"),
    ]
    assert log.append(SPOOL, LANE, sent, Position(1, 100)) == 4
    assert log.position(SPOOL, LANE) == Position(1, 100)
    assert kept(log) == sorted(sent, key=lambda one: one.time)
    assert faults(sent, kept(log)) == []


def test_a_lane_that_was_never_shipped_is_at_its_beginning(log: SqlPredictions) -> None:
    assert log.position(SPOOL, "another") == Position(0, 0)


def test_a_batch_shipped_again_is_there_once(log: SqlPredictions, open_predictions: Open) -> None:
    sent = some(30)
    assert log.append(SPOOL, LANE, sent, Position(1, 300)) == 30
    for again in (log, open_predictions()):
        assert again.append(SPOOL, LANE, sent, Position(1, 300)) == 0
    assert faults(sent, kept(log)) == []


def test_a_position_never_goes_back_and_nothing_is_inserted_behind_it(log: SqlPredictions) -> None:
    log.append(SPOOL, LANE, some(2), Position(2, 50))
    for behind in (Position(1, 900), Position(2, 49), Position(2, 50)):
        assert log.append(SPOOL, LANE, [made(9)], behind) == 0
    assert log.position(SPOOL, LANE) == Position(2, 50)
    assert faults(some(2), kept(log)) == []


def test_a_batch_that_overlaps_with_what_is_there_adds_the_rest(log: SqlPredictions) -> None:
    log.append(SPOOL, LANE, some(20), Position(1, 200))
    assert log.append(SPOOL, LANE, some(25), Position(1, 250)) == 5
    assert log.append(SPOOL, "other lane", [*some(25), made(3)], Position(1, 1)) == 0
    assert faults(some(25), kept(log)) == []


def test_a_batch_without_records_moves_the_position(log: SqlPredictions) -> None:
    assert log.append(SPOOL, LANE, [], Position(1, 20)) == 0
    assert log.position(SPOOL, LANE) == Position(1, 20)


def test_a_position_that_was_lost_doubles_nothing(log: SqlPredictions, url: str) -> None:
    log.append(SPOOL, LANE, some(20), Position(1, 200))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.delete(tables.positions))
    engine.dispose()
    assert log.append(SPOOL, LANE, some(20), Position(1, 200)) == 0
    assert faults(some(20), kept(log)) == []


class Forgetful:
    """The fault that these tests are there to find: no position, and nothing that is unique."""

    def __init__(self) -> None:
        self.kept: list[Prediction] = []

    def append(self, spool: str, lane: str, records: Sequence[Prediction], upto: Position) -> int:
        self.kept += records
        return len(records)


def test_the_checker_finds_a_sink_that_forgets_where_it_was() -> None:
    sent, sink = some(3), Forgetful()
    for _ in range(2):
        sink.append(SPOOL, LANE, sent, Position(1, 30))
    assert faults(sent, sink.kept) == [f"{one.prediction_id}: 2 times" for one in sent]
    assert faults(sent, [*sent, sent[0]]) == [f"{sent[0].prediction_id}: 2 times"]
    assert faults(sent, sent[1:]) == [f"{sent[0].prediction_id}: 0 times"]
    assert faults(sent[:1], [made(0, status=500)]) == [
        f"{sent[0].prediction_id}: is not what was sent"
    ]


def test_of_two_who_ship_a_lane_at_once_each_record_is_there_once(open_predictions: Open) -> None:
    together, batches = Barrier(2), 12
    sent = some(batches * 10)

    def ship(sink: SqlPredictions) -> int:
        together.wait()
        new = 0
        for number in range(batches):
            batch = sent[number * 10 : (number + 1) * 10]
            new += sink.append(SPOOL, LANE, batch, Position(1, (number + 1) * 100))
        return new

    with ThreadPoolExecutor(2) as pool:
        new = sum(pool.map(ship, [open_predictions(), open_predictions()]))
    assert new == len(sent)
    assert faults(sent, kept(open_predictions())) == []


def ended(log: SqlPredictions, doom: Doom) -> None:
    """Let `doom` count this log's statements: before the first, and after each."""

    @sa.event.listens_for(log._engine, "before_cursor_execute")
    def before(*_: object) -> None:
        if not doom.points:
            doom.reach("before the first statement")

    @sa.event.listens_for(log._engine, "after_cursor_execute")
    def after(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        doom.reach(statement.split(maxsplit=1)[0])


def test_a_shipment_ended_at_any_statement_is_there_whole_or_not_at_all(
    open_predictions: Open,
) -> None:
    reader, ends = open_predictions(), []
    for number in itertools.count(1):
        lane = f"lane-{number}"
        day = NOON + number % 3 * DAY
        batch = [made(10 * number + n, model=lane, time=day) for n in range(2)]
        first = batch[:1]
        reader.append(SPOOL, lane, first, Position(1, 20))
        writer, doom = open_predictions(), Doom(number)
        ended(writer, doom)
        with suppress(Crash):
            writer.append(SPOOL, lane, [batch[1], made(0, status=2**70)], Position(1, 50))
        gc.collect()  # a dead process holds no cursor, as the crash's own frames do
        if not doom.struck:
            break
        ends.append(doom.where)
        assert reader.position(SPOOL, lane) == Position(1, 20), doom.where
        assert faults(first, kept(reader, lane)) == [], doom.where
        reader.append(SPOOL, lane, batch, Position(1, 50))
        assert faults(batch, kept(reader, lane)) == [], doom.where
    assert {"UPDATE", "INSERT", "SAVEPOINT"} <= set(ends), "it was ended in the middle"


def test_records_of_any_day_find_their_place(log: SqlPredictions) -> None:
    days = [0, 1, -1, -40, 400, -20_000]
    sent = [made(number, time=NOON + day * DAY) for number, day in enumerate(days)]
    sent.append(made(7, time=NOON + 12 * 3600 - 0.001))  # a moment before midnight, UTC
    sent.append(made(8, time=NOON + 12 * 3600))
    assert put(log, *sent) == len(sent)
    assert faults(sent, list(log.executions("iris", -1e11, 1e11))) == []
    since, until = NOON + 12 * 3600 - 0.001, NOON + 12 * 3600
    assert list(log.executions("iris", since, until)) == [sent[6]]
    assert next(log.executions("iris", float("-inf"), float("inf"))) == sent[5]


def test_those_who_need_a_new_day_at_once_make_it_once(open_predictions: Open) -> None:
    open_predictions()
    together = Barrier(4)

    def ship(number: int) -> int:
        sink = open_predictions()
        together.wait()
        return put(sink, *some(5, first=number * 5), lane=f"lane-{number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ship, range(4))) == [5] * 4
    assert faults(some(20), kept(open_predictions())) == []


def test_of_attempts_of_one_prediction_the_highest_seq_counts(log: SqlPredictions) -> None:
    def attempt(number: int, of: str, **how: object) -> Prediction:
        return made(number, attempt_of=of, **how)

    older = attempt(1, "a", seq=7)
    newer = attempt(2, "a", seq=8, time=NOON)
    refused = attempt(3, "a", seq=None, epoch=None, status=503, time=NOON + 60)
    first, second = attempt(4, "b"), attempt(5, "b")
    restored = attempt(6, "c", epoch=2, seq=1)
    before_it = attempt(7, "c", epoch=1, seq=99)
    late, early = (attempt(n, "d", time=NOON + 43_200 + n - 9) for n in (9, 8))  # over midnight
    alone = made(10)
    put(log, older, newer, refused, first, second, restored, before_it, late, early, alone)
    assert list(log.predictions("iris", *EVER)) == [newer, second, restored, alone, late]
    assert len(kept(log)) == 10
    assert list(log.predictions("iris", *EVER, version="4")) == []


def test_what_a_shadow_was_asked_does_not_count_and_what_an_arm_answered_does(
    log: SqlPredictions,
) -> None:
    served, split = made(1), made(2, arm="split", version="4")
    copies = [made(3, arm="shadow", version="4"), made(4, arm="shadow", attempt_of="a", seq=9)]
    put(log, served, split, *copies)
    assert list(log.predictions("iris", *EVER)) == [served, split]
    assert list(log.predictions("iris", *EVER, version="4")) == [split]
    assert len(kept(log)) == 4


def test_a_better_attempt_in_another_page_of_time_still_counts(log: SqlPredictions) -> None:
    put(log, made(1, attempt_of="a", seq=7), made(2, attempt_of="a", seq=8))
    assert list(log.predictions("iris", NOON, NOON + 2)) == [], "it counts a second later"


def test_versions_models_and_ids_are_found(log: SqlPredictions) -> None:
    other, elsewhere = made(2, version="4"), made(3, model="petr4")
    nobodys = made(4, model="")
    put(log, made(1), other, elsewhere, nobodys)
    assert list(log.predictions("iris", *EVER, version="4")) == [other]
    assert log.models(*EVER) == ["iris", "petr4"]
    assert log.models(NOON + 3, NOON + 4) == ["petr4"]
    ids = [one.prediction_id for one in (other, nobodys)]
    assert log.found([*ids, "unknown"]) == dict(zip(ids, (other, nobodys), strict=True))
    assert log.found([]) == {}
    many = [*(f"unknown-{n}" for n in range(1_200)), ids[0]]
    assert set(log.found(many)) == {ids[0]}
    assert log.newest("iris", most=1) == [other]


def test_what_each_version_did_is_counted_by_the_database(log: SqlPredictions) -> None:
    slow = [made(n, latency_ms=30.0, version="4") for n in range(4)]
    failed = made(9, version="4", status=503, latency_ms=20_000.0)
    put(log, *slow, failed, made(10), made(11, status=422), made(12, model="other"))
    counts = log.counts("iris", *EVER)
    assert set(counts) == {"3", "4"}
    assert (counts["4"].requests, counts["4"].errors) == (5, 1)
    assert (counts["3"].requests, counts["3"].errors) == (2, 0)
    assert counts["4"].latency_ms == 20_120.0
    assert counts["4"].quantile_ms(0.5) == pytest.approx(20 + 30 * 2.5 / 4)
    assert counts["4"].quantile_ms(0.99) == 10_000.0
    assert log.counts("iris", 0, 1) == {}


def test_nul_characters_are_replaced(log: SqlPredictions) -> None:
    dirty = made(1, key_id="a\x00b", inputs={"na\x00me": ["\x00", r"\u0000"]}, outputs={"o": [1]})
    put(log, dirty)
    [found] = kept(log)
    assert found.key_id == "a\ufffdb"
    assert found.inputs == {"na\ufffdme": ["\ufffd", r"\u0000"]}


@pytest.mark.parametrize(
    "unfit",
    [
        {"time": float("nan")},
        {"time": 1e18},
        {"status": 2**70},
        {"request_id": 7},
        {"inputs": {"x": ["\ud800"]}},
        {"key_id": "\ud800"},
        {"inputs": [1]},
        {"latency_ms": "fast"},
    ],
)
def test_what_cannot_be_a_row_is_put_aside_and_the_lane_goes_on(
    log: SqlPredictions, url: str, unfit: dict[str, object]
) -> None:
    good = some(40)
    sent = [*good[:17], made(99, **unfit), *good[17:]]
    assert log.append(SPOOL, LANE, sent, Position(1, 10)) == 40
    assert faults(good, kept(log)) == []
    assert log.refused == 1
    [row] = aside(url)
    assert row.reason
    assert made(99).prediction_id in row.body
    assert log.append(SPOOL, LANE, sent, Position(1, 10)) == 0
    assert log.append(SPOOL, LANE, sent, Position(1, 11)) == 0
    assert len(aside(url)) == 1, "it is put aside once"


def test_a_batch_of_nothing_but_unfit_records_is_put_aside(log: SqlPredictions, url: str) -> None:
    assert put(log, *(made(n, status=2**70) for n in range(5))) == 0
    assert (log.refused, len(aside(url))) == (5, 5)
    assert put(log, made(9)) == 1


def test_what_only_the_database_refuses_is_found_among_the_others(
    open_predictions: Open, url: str
) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("sqlite takes what is a row at all")
    log, good = open_predictions(), some(100)
    unfit = [
        made(200, model="".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(9_000))),
        made(201, status=2**40),
        made(202, seq=-(2**31) - 1),
    ]
    sent = [unfit[0], *good[:50], unfit[1], *good[50:], unfit[2]]
    assert put(log, *sent) == 100
    assert faults(good, kept(log)) == []
    assert len(aside(url)) == log.refused == 3


def test_nan_and_infinity_are_null(log: SqlPredictions) -> None:
    put(log, made(1, inputs={"x": [float("nan"), 1.0]}, confidence=float("inf")))
    [found] = kept(log)
    assert (found.inputs, found.confidence) == ({"x": [None, 1.0]}, None)


def test_columns_and_rows_are_in_one_order() -> None:
    record = made(1)
    row = dict(zip(tables.predictions.c.keys(), to_row(record), strict=True))
    assert row.pop("day") == record.day.isoformat()
    assert {n: v for n, v in row.items() if n not in ("inputs", "outputs")} == {
        name: getattr(record, name) for name in row if name not in ("inputs", "outputs")
    }


def test_many_records_are_read_in_pages(log: SqlPredictions) -> None:
    count, read = 50 * PAGE, []
    for start in range(0, count, 5_000):
        records = [
            made(n, time=NOON + n // 3, inputs={}, outputs={}) for n in range(start, start + 5_000)
        ]
        put(log, *records)

    @sa.event.listens_for(log._engine, "after_cursor_execute")
    def after(_connection: object, cursor: object, statement: str, *_: object) -> None:
        read.append(statement)

    pages = log.predictions("iris", *EVER)
    numbers = [next(pages).request_id for _ in range(PAGE)]
    assert len(read) == 1, "nobody reads ahead"
    numbers += [one.request_id for one in pages]
    assert len(set(numbers)) == len(numbers) == count
    assert len(read) == count // PAGE + 1


def test_a_log_that_cannot_be_reached_says_so_and_can_be_asked_again() -> None:
    with pytest.raises(Unreachable, match="BATON_PREDICTIONS_URL"):
        SqlPredictions("postgresql+psycopg2://baton@127.0.0.1:1/log")


def test_by_default_the_log_is_a_file_of_its_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    sink, log = open_sink(settings), open_log(settings)
    try:
        put(sink, made(1))
        assert kept(log) == [made(1)]
        assert tmp_path.joinpath("predictions.db").is_file()
    finally:
        sink.close()
        log.close()
    with pytest.raises(SettingsError, match="is off"):
        open_log(Settings(home=tmp_path, predictions_url="off"))
