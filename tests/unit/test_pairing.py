"""Pairs: how each kind's outputs are read, and which outcome belongs to which row."""

from __future__ import annotations

from typing import Any

import pytest

from registry.outcomes import About, OfDate, OfPrediction, Outcome, Said, Value
from registry.pairing import Answer, Facts, LoggedTruth, Pair, answers, paired
from registry.predictions import Prediction
from tests.fakes.outcomes import MemoryOutcomes
from tests.fakes.prediction_log import FakePredictionLog, record

FORECAST = {
    "ds": ["2026-11-02", "2026-11-03"],
    "yhat": [5.0, 6.0],
    "yhat_lower": [4.0, 5.5],
    "yhat_upper": [6.0, 6.5],
}


NOTHING = Facts()


def label(text: str, confidence: float | None = None) -> Answer:
    return Answer(predicted=text, is_label=True, confidence=confidence)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"y": [1.5, 2.5]}, [Answer(predicted=1.5), Answer(predicted=2.5)]),
        ({"y": [[1.5], [2.5]]}, [Answer(predicted=1.5), Answer(predicted=2.5)]),
        ({"y": [1, 2]}, [label("1"), label("2")]),
        ({"y": [1.5, 10**20]}, [Answer(predicted=1.5), Answer(predicted=1e20)]),
        ({"y": ["a", "b"]}, [label("a"), label("b")]),
        ({"y": [True, False]}, [label("true"), label("false")]),
        (
            {"label": [2, 0], "probabilities": [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]},
            [label("2", 0.7), label("0", 0.5)],
        ),
        (
            {"output_probability": [{"a": 0.25, "b": 0.75}], "output_label": ["b"]},
            [label("b", 0.75)],
        ),
        ({"dense": [[0.25, 0.75], [1.0005, 0.0]]}, [label("1", 0.75), label("0", 1.0)]),
        (
            {"label": ["AMD"], "confidence": [0.9], "probabilities": [[0.1, 0.9]]},
            [label("AMD", 0.9)],
        ),
        ({"class": ["a"], "probability": [0.75]}, [label("a", 0.75)]),
        ({"probability": [0.75]}, [Answer(predicted=0.75)]),
        ({"class": ["a"], "score": [7.5]}, []),
        (
            FORECAST,
            [
                Answer(predicted=5.0, lower=4.0, upper=6.0, date="2026-11-02"),
                Answer(predicted=6.0, lower=5.5, upper=6.5, date="2026-11-03"),
            ],
        ),
        (
            {"ds": ["2026-11-02T00:00:00", "x"], "yhat": [5, 6]},
            [Answer(predicted=5.0, date="2026-11-02"), Answer(predicted=6.0)],
        ),
        # What cannot be understood says nothing.
        ({}, []),
        ({"y": 5}, []),
        ({"y": [[1.0, 2.0], [3.0, 4.0]]}, []),
        ({"a": [1.0], "b": [2.0]}, []),
        ({"a": [1.0], "b": [2.0, 3.0]}, []),
        ({"y": [None]}, []),
        ({"ds": ["2026-11-02"], "yhat": [None]}, []),
    ],
    ids=repr,
)
def test_outputs_are_read_as_the_kinds_write_them(outputs: Any, expected: list[Answer]) -> None:
    found = answers(record(outputs=outputs))
    assert [*found] == expected
    assert [type(one.predicted) for one in found] == [type(one.predicted) for one in expected]


def test_a_refused_request_answered_nothing() -> None:
    assert answers(record(status=503, outputs={"y": [1.0]})) == ()


def pairs(
    records: list[Prediction], told: dict[About, Value], *, facts: Facts = NOTHING, **asked: Any
) -> list[Pair]:
    outcomes = MemoryOutcomes()
    outcomes.tell(
        [
            Said(outcome=Outcome(about=about, value=value, at=7.0, by="ada", told=8.0))
            for about, value in told.items()
        ]
    )
    window = {"model": "iris", "since": 0.0, "until": 1e9, **asked}
    log = FakePredictionLog(records)
    return [*paired(log, outcomes, **window, facts=lambda _record: facts)]


def test_each_row_has_its_outcome_and_rows_without_one_are_left_out() -> None:
    records = [record("p1", rows=3, outputs={"y": [1.0, 2.0, 3.0]}), record("p2")]
    told = {OfPrediction("p1", 0): 1.5, OfPrediction("p1", 2): 2.5, OfPrediction("p1", 9): 0.0}
    found = pairs(records, told)
    assert [(one.row, one.predicted, one.truth) for one in found] == [(0, 1.0, 1.5), (2, 3.0, 2.5)]
    assert {(one.prediction_id, one.at, one.told, one.horizon) for one in found} == {
        ("p1", 7.0, 8.0, None)
    }


def test_only_the_models_predictions_of_that_time_are_paired() -> None:
    records = [record("p1"), record("p2", model="other"), record("p3", time=2000.0)]
    told: dict[About, Value] = {OfPrediction(one): 1.0 for one in ("p1", "p2", "p3")}
    assert [one.prediction_id for one in pairs(records, told)] == ["p1", "p3"]
    assert [one.prediction_id for one in pairs(records, told, until=2000.0)] == ["p1"]
    assert [one.prediction_id for one in pairs(records, told, since=1000.5)] == ["p3"]


def test_a_forecast_is_paired_by_series_and_date_with_its_day_ahead() -> None:
    told: dict[About, Value] = {
        OfDate("USD/BRL", "2026-11-03"): 6.25,
        OfDate("EUR/BRL", "2026-11-02"): 9.0,
    }
    [one] = pairs([record(outputs=FORECAST)], told, facts=Facts(series=("USD/BRL",), scale=0.5))
    assert (one.horizon, one.date, one.truth, one.predicted) == (2, "2026-11-03", 6.25, 6.0)
    assert (one.lower, one.upper, one.series, one.scale) == (5.5, 6.5, "USD/BRL", 0.5)


def test_an_outcome_by_id_goes_before_one_by_date_and_a_ticker_before_the_model() -> None:
    told: dict[About, Value] = {
        OfDate("USD/BRL", "2026-11-02"): 1.0,
        OfDate("iris", "2026-11-02"): 2.0,
        OfDate("iris", "2026-11-03"): 3.0,
        OfPrediction("by id", 1): 4.0,
    }
    records = [record("by date", outputs=FORECAST), record("by id", outputs=FORECAST)]
    found = pairs(records, told, facts=Facts(series=("USD/BRL",)))
    assert [(one.prediction_id, one.truth) for one in found] == [
        ("by date", 1.0),
        ("by date", 3.0),
        ("by id", 1.0),
        ("by id", 4.0),
    ]


def test_days_ahead_are_counted_in_the_order_of_dates() -> None:
    turned = {"ds": ["2026-11-03", "2026-11-02"], "yhat": [6.0, 5.0]}
    told: dict[About, Value] = {OfDate("iris", day): 1.0 for day in turned["ds"]}
    found = pairs([record(outputs=turned)], told)
    assert [(one.date, one.horizon) for one in found] == [("2026-11-03", 2), ("2026-11-02", 1)]


@pytest.mark.parametrize(
    ("predicted", "told", "expected"),
    [
        ([1], "versicolor", ("1", "1")),
        ([1], "Versicolor", ("1", "1")),
        ([1], 1.0, ("1", "1")),
        ([1], "2", ("1", "2")),
        (["virginica"], 2.0, ("2", "2")),
        ([1], "rose", ("1", "rose")),
        ([1.5], "dear", ("1.5", "dear")),
        ([1.5], 2.0, (1.5, 2.0)),
    ],
)
def test_labels_are_compared_as_the_classes_they_mean(
    predicted: list[Any], told: Value, expected: tuple[Value, Value]
) -> None:
    labels = {"versicolor": "1", "virginica": "2", "1": "1", "2": "2"}
    [one] = pairs(
        [record(outputs={"label": predicted})],
        {OfPrediction("p1"): told},
        facts=Facts(labels=labels),
    )
    assert (one.predicted, one.truth) == expected


def test_more_records_than_a_page_are_paired_once_each() -> None:
    records = [record(f"p{n}", time=float(n)) for n in range(1201)]
    told: dict[About, Value] = {OfPrediction(f"p{n}"): 1.0 for n in range(0, 1201, 2)}
    assert [one.time for one in pairs(records, told)] == [float(n) for n in range(0, 1201, 2)]


def test_the_port_over_log_and_outcomes() -> None:
    outcomes = MemoryOutcomes()
    [said] = [Said(outcome=Outcome(about=OfPrediction("p1"), value=2.0, at=1.0, by="", told=1.0))]
    outcomes.tell([said])
    truth = LoggedTruth(FakePredictionLog([record("p1")]), outcomes)
    assert [one.truth for one in truth.pairs("iris", 0.0, 1e9)] == [2.0]
