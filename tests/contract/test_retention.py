"""What is forgotten, on sqlite and PostgreSQL: records older than their model's days, no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

from registry.predictions import Position, Prediction
from registry.retention import LANE_DAYS, SECONDS_A_DAY, Forgotten, forget
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
