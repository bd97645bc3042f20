"""What the watch reads of the log, on sqlite and PostgreSQL: as if it were counted one by one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence

import pytest

from registry.prediction_counts import Counts, Reference, Stint
from registry.predictions import Position, Prediction
from registry.sql_prediction_counts import SqlPredictionCounts
from registry.sql_predictions import SqlPredictions
from tests.fakes.counts import Answer, FakeCounts
from tests.fakes.predicted import NOON, made

KEY = (1, 7)
STINT = Stint(model="iris", epoch=1, first=7, last=7, since=NOON)


@pytest.fixture
def counts(url: str) -> Iterator[SqlPredictionCounts]:
    """Of a log that is new."""
    made_of = SqlPredictionCounts(lambda: url)
    yield made_of
    made_of.close()


def ship(url: str, records: Sequence[Prediction]) -> None:
    """Put records into the log."""
    log = SqlPredictions(url)
    log.append("spool", "lane", records, Position(1, len(records)))
    log.close()


def drawn(seed: int, many: int) -> list[Prediction]:
    """Requests of the entry, of another one, of another model and of a shadow, over two days."""
    chance = random.Random(seed)  # noqa: S311
    others = (
        {"seq": 6},
        {"seq": 8},
        {"seq": 8, "arm": "split"},
        {"epoch": 2},
        {"model": "wine"},
        {"arm": "shadow"},
        {"seq": None},
    )
    return [
        made(
            number,
            time=NOON + number * 100,
            status=chance.choice((200, 200, 200, 200, 422, 500, 503)),
            latency_ms=float(chance.randrange(40)),
            confidence=chance.choice((None, 0.5, 0.59, 0.6, 0.9)),
            **(chance.choice(others) if chance.random() < 0.3 else {}),
        )
        for number in range(many)
    ]


def said(records: Sequence[Prediction], stint: Stint = STINT) -> FakeCounts:
    """The fake over the records that are the stint's own."""
    fake = FakeCounts()
    for one in records:
        is_its = one.seq is not None and stint.first <= one.seq <= stint.last
        if is_its and (one.model, one.arm, one.epoch) == ("iris", stint.arm, 1):
            answer = Answer(one.status, one.latency_ms, one.confidence)
            fake.add("iris", (1, stint.first), [answer], arm=stint.arm)
    return fake


@pytest.mark.parametrize("many", [1, 19, 20, 21, 400])
@pytest.mark.parametrize(
    "stint",
    [
        STINT,
        dataclasses.replace(STINT, first=6, last=8),
        dataclasses.replace(STINT, first=8, last=8, arm="split"),
    ],
    ids=["an entry", "several, one after the other", "the arm of a split"],
)
def test_the_database_counts_as_one_would_by_hand(
    counts: SqlPredictionCounts, url: str, many: int, stint: Stint
) -> None:
    records = drawn(many, many)
    ship(url, records)
    by_hand = said(records, stint)
    for newest in (5, 40, 10_000):
        expected = by_hand.reference(stint, newest=newest)
        assert counts.reference(stint, newest=newest) == expected
    for slow_ms in (None, 0.0, 20.0, 39.0):
        expected_counts = by_hand.counts(stint, slow_ms=slow_ms)
        assert counts.counts(stint, slow_ms=slow_ms) == expected_counts


def test_an_entry_that_answered_nothing_counts_nothing(counts: SqlPredictionCounts) -> None:
    assert counts.reference(STINT, newest=10) == Reference(Counts(), None)
    assert counts.counts(STINT, slow_ms=None) == Counts()


def test_what_is_older_than_the_entry_is_not_looked_at(
    counts: SqlPredictionCounts, url: str
) -> None:
    ship(url, [made(1, time=NOON - 200_000), made(2)])
    recent = dataclasses.replace(STINT, since=NOON - 3600)
    assert counts.counts(recent, slow_ms=None).answered == 1
