"""What is forgotten, on sqlite and PostgreSQL: records older than their model's days, no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

from registry.outcomes import About, OfDate, OfPrediction, Outcome, Said, Value
from registry.predictions import Position, Prediction
from registry.retention import LANE_DAYS, SECONDS_A_DAY, Forgotten, forget
from registry.sql_outcomes import SqlOutcomes
from registry.sql_predictions import SqlPredictions
from tests.fakes.predicted import NOON, faults, made

NOW = NOON + 100 * SECONDS_A_DAY
EVER = (0.0, 1e11)


def aged(number: int, days: float, model: str = "iris") -> Prediction:
    return made(number, model=model, time=NOW - days * SECONDS_A_DAY)


@pytest.fixture
def put(url: str) -> Iterator[Callable[..., None]]:
    """Puts records into the log, as of a time."""

    def put_some(*records: Prediction, lane: str = "lane", now: float = NOW) -> None:
        with closing(SqlPredictions(url, now=lambda: now)) as sink:
            at = sink.position("spool", lane)
            sink.append("spool", lane, records, Position(1, at.offset + 1))

    put_some()
    return put_some


def kept(url: str) -> list[Prediction]:
    with closing(SqlPredictions(url)) as log:
        return [one for model in log.models(*EVER) for one in log.executions(model, *EVER)]


def days_of(url: str) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        names = [n for n in sa.inspect(connection).get_table_names() if n[-8:].isdigit()]
    engine.dispose()
    return len(names)


def test_each_model_is_kept_for_its_days(url: str, put: Callable[..., None]) -> None:
    stay = [aged(1, 6.9), aged(2, 29.9, "petr4"), aged(3, 80, "eyes")]
    go = [aged(4, 7.1), aged(5, 31, "petr4"), aged(6, 30, "iris")]
    put(*stay, *go)
    gone = forget(url, {"iris": 7, "petr4": 30}, otherwise=None, now=NOW)
    assert faults(stay, kept(url)) == []
    assert gone.records + gone.days == 3
    assert forget(url, {"iris": 7, "petr4": 30}, otherwise=None, now=NOW) == Forgotten(0, 0, 0, 0)


def test_models_that_are_not_named_follow_the_rest(url: str, put: Callable[..., None]) -> None:
    put(aged(1, 20, "eyes"), aged(2, 20, ""), aged(3, 20))
    forget(url, {"iris": 50}, otherwise=10, now=NOW)
    assert faults([aged(3, 20)], kept(url)) == []


def test_whole_days_are_dropped_where_all_of_them_is_too_old(
    url: str, put: Callable[..., None]
) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("sqlite has no partitions")
    put(aged(1, 60), aged(2, 60, "petr4"), aged(3, 50), aged(4, 50, "eyes"), aged(5, 0))
    assert days_of(url) == 3
    gone = forget(url, {"iris": 7, "petr4": 30}, otherwise=None, now=NOW)
    assert gone == Forgotten(records=1, days=1, positions=0, refused=0)
    assert days_of(url) == 2
    assert faults([aged(4, 50, "eyes"), aged(5, 0)], kept(url)) == []


def test_who_ships_a_late_record_of_a_day_that_was_dropped_makes_it_again(url: str) -> None:
    with closing(SqlPredictions(url)) as sink:
        assert sink.append("spool", "lane", [aged(1, 60)], Position(1, 1)) == 1
        forget(url, {}, otherwise=7, now=NOW)
        assert sink.append("spool", "lane", [aged(2, 60), aged(3, 0)], Position(1, 2)) == 2
        assert sink.refused == 0
    assert faults([aged(2, 60), aged(3, 0)], kept(url)) == []


def test_many_records_are_deleted_in_pieces(url: str, put: Callable[..., None]) -> None:
    put(*(aged(n, 20 + n / 1e6) for n in range(12_000)), aged(12_001, 1), aged(12_002, 20, "eyes"))
    gone = forget(url, {"iris": 7}, otherwise=None, now=NOW)
    assert gone.records == 12_000
    assert faults([aged(12_001, 1), aged(12_002, 20, "eyes")], kept(url)) == []


def test_positions_of_lanes_long_gone_and_what_was_put_aside_go_too(
    url: str, put: Callable[..., None]
) -> None:
    long_ago = NOW - (LANE_DAYS + 1) * SECONDS_A_DAY
    put(aged(1, 0), made(2, status=2**70), lane="gone", now=long_ago)
    put(aged(3, 0), lane="alive")
    gone = forget(url, {}, otherwise=None, now=NOW)
    assert (gone.positions, gone.refused, gone.records) == (1, 1, 0)
    with closing(SqlPredictions(url)) as sink:
        assert sink.position("spool", "alive") > Position(0, 0)
        assert sink.position("spool", "gone") == Position(0, 0)
        again = sink.append("spool", "gone", [aged(1, 0)], Position(1, 1))
    assert again == 0, "what is not forgotten is known"


def of(record: Prediction, row: int = 0) -> OfPrediction:
    return OfPrediction(record.prediction_id, row)


def tell(url: str, *abouts: About, value: Value = 1.0, days: float = 0.0) -> None:
    """Says what came true of each, so many days ago; another value corrects the one before."""
    at = NOW - days * SECONDS_A_DAY
    with closing(SqlOutcomes(url)) as outcomes:
        told = [Outcome(about=one, value=value, at=at, by="ada", told=at) for one in abouts]
        outcomes.tell([Said(outcome=one, corrects=True) for one in told])


def known(url: str, *abouts: About) -> list[About]:
    with closing(SqlOutcomes(url)) as outcomes:
        return [one for one in abouts if outcomes.history(one)]


def test_what_came_true_goes_with_its_prediction(url: str, put: Callable[..., None]) -> None:
    """One by one (7.1 days: a day that has something to stay in it) and with whole days."""
    go = [aged(1, 7.1), aged(2, 60), aged(3, 31, "petr4")]
    stay = [aged(4, 6.9), aged(5, 7.1, "eyes"), aged(6, 29, "petr4")]
    put(*go, *stay)
    gone = [of(record, row) for record in go for row in (0, 1)]
    remain = [*map(of, stay), OfDate("petr4", "2026-01-02"), OfDate("USD/BRL", "2026-01-02")]
    tell(url, *gone, *remain)
    tell(url, *gone, *remain, value=2.0)
    forgotten = forget(url, {"iris": 7, "petr4": 30}, otherwise=None, now=NOW)
    assert (forgotten.records + forgotten.days, forgotten.outcomes) == (3, 12)
    assert faults(stay, kept(url)) == []
    assert known(url, *gone, *remain) == remain
    assert forget(url, {"iris": 7, "petr4": 30}, otherwise=None, now=NOW) == Forgotten(0, 0, 0, 0)


def test_without_days_for_a_model_what_came_true_of_it_stays(
    url: str, put: Callable[..., None]
) -> None:
    eyes, wine = aged(1, 400, "eyes"), aged(2, 400, "wine")
    put(eyes, wine)
    tell(url, of(eyes), of(wine), days=399)
    assert forget(url, {"wine": 300}, otherwise=None, now=NOW).outcomes == 1
    assert known(url, of(eyes), of(wine)) == [of(eyes)]


def test_what_is_told_of_no_record_waits_for_it_as_long_as_a_lane_may(
    url: str, put: Callable[..., None]
) -> None:
    young, old, older = (OfPrediction(f"unknown {n}") for n in range(3))
    put(aged(1, 0))
    tell(url, young, days=LANE_DAYS - 1)
    tell(url, old, days=LANE_DAYS + 1)
    tell(url, older, days=201)
    assert forget(url, {"iris": 200}, otherwise=None, now=NOW).outcomes == 1
    assert known(url, young, old, older) == [young, old], "a record may be as old as it is kept"
    assert forget(url, {}, otherwise=7, now=NOW).outcomes == 1
    assert known(url, young, old) == [young]


def test_much_that_came_true_is_deleted_in_pieces(url: str, put: Callable[..., None]) -> None:
    old, young = aged(1, 20), aged(2, 1)
    put(old, young)
    tell(url, *(of(old, row) for row in range(6_000)), of(young))
    assert forget(url, {"iris": 7}, otherwise=None, now=NOW).outcomes == 6_000
    assert known(url, of(old), of(young)) == [of(young)]
