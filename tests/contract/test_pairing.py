"""Log and outcomes of one database, sqlite or PostgreSQL: what was predicted and came true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from registry.feedback import Fate, Receiver, pending
from registry.live_accuracy import scores
from registry.outcomes import Asked
from registry.pairing import Facts, paired
from registry.predictions import Position
from registry.sql_outcomes import SqlOutcomes
from registry.sql_predictions import SqlPredictions
from tests.fakes.prediction_log import record

CLASSES = {"label": [2, 0], "probabilities": [[0.25, 0.25, 0.5], [0.75, 0.25, 0.0]]}
FORECAST = {"ds": ["2026-11-02", "2026-11-03"], "yhat": [5.0, 1e20], "yhat_upper": [6.0, 2e20]}


@pytest.fixture
def outcomes(url: str) -> Iterator[SqlOutcomes]:
    with closing(SqlOutcomes(url)) as made:
        yield made


@pytest.fixture
def log(url: str, outcomes: SqlOutcomes) -> Iterator[SqlPredictions]:
    """Opened after the outcomes, as by whoever ships for the first time."""
    assert outcomes.asked(["p1"]) == {}, "there is no log yet"
    with closing(SqlPredictions(url)) as made:
        yield made


def test_what_was_told_meets_what_was_logged(log: SqlPredictions, outcomes: SqlOutcomes) -> None:
    receiver = Receiver(outcomes=outcomes, now=lambda: 5000.0)
    early = receiver.receive([{"prediction_id": "p1", "row": 1, "actual": "setosa"}], by="ada")
    assert (early.counts[Fate.UNKNOWN], pending(outcomes, 0.0, 1e9)) == (1, 1)
    records = [
        record("p1", rows=2, outputs=CLASSES),
        record("p2", rows=2, outputs=FORECAST, model="petr4", time=2000.0),
        record("p3", status=422, outputs={}, rows=0),
    ]
    assert log.append("s", "l", records, Position(1, 1)) == 3
    assert outcomes.asked(["p1", "p3", "p9"]) == {
        "p1": Asked(2, 200, 1000.0),
        "p3": Asked(0, 422, 1000.0),
    }
    pieces = [
        {"prediction_id": "p1", "row": 0, "actual": 1},
        {"prediction_id": "p3", "actual": 1},
        {"series": "PETR4.SA", "date": "2026-11-03", "actual": 2e20},
        {"model": "petr4", "date": "2026-11-02", "actual": 5.5},
    ]
    late = receiver.receive(pieces, by="ada")
    assert (late.counts[Fate.ACCEPTED], late.counts[Fate.REFUSED]) == (3, 1)
    assert pending(outcomes, 0.0, 1e9) == 0
    facts = Facts(series=("PETR4.SA",), labels={"setosa": "0"})
    found = [
        pair
        for model in ("iris", "petr4")
        for pair in paired(log, outcomes, model, 0.0, 1e9, facts=lambda _record: facts)
    ]
    assert [(one.prediction_id, one.row, one.predicted, one.truth) for one in found] == [
        ("p1", 0, "2", "1"),
        ("p1", 1, "0", "0"),
        ("p2", 0, 5.0, 5.5),
        ("p2", 1, 1e20, 2e20),
    ]
    assert [one.confidence for one in found] == [0.5, 0.75, None, None]
    assert [one.horizon for one in found] == [None, None, 1, 2]
    assert scores(found)[0].measures["accuracy"] == 0.5
