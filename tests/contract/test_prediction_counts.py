"""What the watch reads of the prediction log: the same of both databases, and of the fake."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry.errors import Unreachable
from registry.jobs_database import KEPT
from registry.prediction_counts import Counts, Reference
from registry.sql_prediction_counts import SqlPredictionCounts
from tests.fakes.counts import Answer, FakeCounts

NOW = 1_767_225_600.0
KEY = (1, 2)
metadata = sa.MetaData()
# The columns that are read, as the log has them.
log = sa.Table(
    "baton_predictions",
    metadata,
    sa.Column("model", sa.Text),
    sa.Column("day", sa.Date),
    sa.Column("time", sa.Float),
    sa.Column("epoch", sa.Integer),
    sa.Column("seq", sa.Integer),
    sa.Column("arm", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("latency_ms", sa.Float),
    sa.Column("confidence", sa.Float),
)


class Opened:
    """A database with that table; its errors are those of every other one of ours."""

    reaching = staticmethod(KEPT.reaching)

    def __init__(self) -> None:
        self.opened = 0

    def open(self, url: str) -> sa.Engine:
        self.opened += 1
        self.engine = sa.create_engine(url)
        metadata.create_all(self.engine)
        return self.engine


@pytest.fixture
def database() -> Iterator[Opened]:
    """Not opened yet."""
    made = Opened()
    yield made
    if made.opened:
        made.engine.dispose()


def logged(
    database: Opened, answers: Sequence[Answer], *, time: float = NOW, **columns: object
) -> None:
    """Records of an entry, a second apart, oldest first."""
    rows = [
        {
            "model": "iris",
            "day": datetime.datetime.fromtimestamp(time + at, datetime.UTC).date(),
            "time": time + at,
            "epoch": KEY[0],
            "seq": KEY[1],
            "arm": "serve",
            "status": one.status,
            "latency_ms": one.latency_ms,
            "confidence": one.confidence,
            **columns,
        }
        for at, one in enumerate(answers)
    ]
    with database.engine.begin() as connection:
        connection.execute(sa.insert(log), rows)


MIXED = [
    *(Answer(latency_ms=float(n), confidence=n / 100) for n in range(100)),
    *[Answer(503)] * 3,
    *[Answer(422)] * 5,
    Answer(500),
    Answer(latency_ms=1_000.0),
]


@pytest.fixture
def counts(url: str, database: Opened) -> SqlPredictionCounts:
    if file := sa.make_url(url).database if url.startswith("sqlite") else None:
        Path(file).parent.mkdir()
    made = SqlPredictionCounts(database, url)
    assert database.opened == 0, "a registrar starts without it"
    assert made.counts("iris", KEY, since=NOW, slow_ms=1.0) == Counts()
    assert made.reference("iris", KEY, since=NOW, newest=10) == Reference(Counts(), None)
    assert database.opened == 1
    return made


def test_what_counts_is_counted(counts: SqlPredictionCounts, database: Opened) -> None:
    logged(database, MIXED)
    found = counts.counts("iris", KEY, since=NOW, slow_ms=94.0)
    assert found == Counts(errors=4, answered=101, slow=6, rated=100, unsure=60)
    assert counts.counts("iris", KEY, since=NOW, slow_ms=None).slow == 0


def test_only_what_the_entry_itself_answered_is_counted(
    counts: SqlPredictionCounts, database: Opened
) -> None:
    for other in ({"model": "petr4"}, {"epoch": 2}, {"seq": 1}, {"seq": None}, {"arm": "shadow"}):
        logged(database, [Answer()], **other)
    logged(database, [Answer()], time=NOW - 1)
    logged(database, [Answer()], time=NOW + 86_400)
    assert counts.counts("iris", KEY, since=NOW, slow_ms=None) == Counts(answered=1)


def test_a_reference_is_of_the_newest_and_slow_by_its_own_latencies(
    counts: SqlPredictionCounts, database: Opened
) -> None:
    logged(database, [Answer(500, latency_ms=9_999.0)] * 50, time=NOW)
    logged(database, [Answer(latency_ms=float(n)) for n in range(200)], time=NOW + 100)
    found = counts.reference("iris", KEY, since=NOW, newest=200)
    assert found == Reference(Counts(answered=200, slow=10), 189.0)
    assert counts.reference("iris", KEY, since=NOW, newest=250).counts.errors == 50


def test_the_fake_says_the_same(counts: SqlPredictionCounts, database: Opened) -> None:
    logged(database, MIXED)
    fake = FakeCounts()
    fake.add("iris", KEY, MIXED)
    reference = counts.reference("iris", KEY, since=NOW, newest=1_000)
    assert reference == fake.reference("iris", KEY, since=NOW, newest=1_000)
    slow_ms = reference.slow_ms
    assert counts.counts("iris", KEY, since=NOW, slow_ms=slow_ms) == fake.counts(
        "iris", KEY, since=NOW, slow_ms=slow_ms
    )


def test_a_log_that_is_away_is_unreachable_and_asked_again(
    counts: SqlPredictionCounts, database: Opened
) -> None:
    metadata.drop_all(database.engine)
    if database.engine.dialect.name == "sqlite":
        with pytest.raises(Unreachable):
            counts.counts("iris", KEY, since=NOW, slow_ms=None)
    metadata.create_all(database.engine)
    assert counts.counts("iris", KEY, since=NOW, slow_ms=None) == Counts()
