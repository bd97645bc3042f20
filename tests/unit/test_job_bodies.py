"""What a request for a job says, and what is refused before anybody waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from registry.errors import SignatureMismatch
from registry.job_bodies import SeriesBody, TrainBody

SERIES = [100.0 + day % 7 for day in range(60)]


def test_a_ticker_alone_means_an_lstm_on_it():
    body = TrainBody.of({"ticker": "MSFT"})
    assert (body.workload, body.ticker, body.params) == ("stock_lstm", "MSFT", {})


def test_what_has_no_meaning_of_its_own_is_a_parameter():
    body = TrainBody.of(
        {
            "workload": "petr4",
            "series": "usd_brl",
            "seed": 7,
            "start_date": "2020-01-01",
            "holdout_days": 30,
            "growth": "flat",
            "backtest": False,
        }
    )
    assert body.params == {"holdout_days": 30, "growth": "flat", "backtest": False}
    assert (body.series, body.seed, body.start_date) == ("usd_brl", 7, "2020-01-01")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "workload"),
        ({"epochs": 3}, "workload"),
        ({"workload": ""}, "workload"),
        ({"workload": "  "}, "workload"),
        ({"workload": "a\nb"}, "workload"),
        ({"workload": 3}, "workload"),
        ({"workload": "x" * 201}, "workload"),
        ({"ticker": None}, "ticker"),
        ({"ticker": "MSFT", "series": "IBM"}, "series"),
        ({"workload": "iris", "seed": -1}, "seed"),
        ({"workload": "iris", "seed": True}, "seed"),
        ({"workload": "iris", "seed": 1.0}, "seed"),
        ({"workload": "petr4", "start_date": "yesterday"}, "start_date"),
        ({"workload": "petr4", "start_date": "2021-01-02", "end_date": "2021-01-01"}, "end_date"),
        ({"workload": "iris", "depth": [1]}, "depth"),
        ({"workload": "iris", "depth": {"a": 1}}, "depth"),
        ({"workload": "iris", "depth": None}, "depth"),
        ({"workload": "iris", "depth": float("inf")}, "depth"),
        ({"workload": "iris", "": 1}, "the name of a parameter"),
        ({"workload": "iris", **{f"p{n}": n for n in range(65)}}, "body"),
    ],
)
def test_a_training_that_cannot_be_is_refused_by_field(body: dict[str, Any], field: str):
    with pytest.raises(SignatureMismatch) as refused:
        TrainBody.of(body)
    assert refused.value.field == field


def test_a_series_may_be_numbers_or_dated_rows():
    assert SeriesBody.of({"data": SERIES}).data == tuple(SERIES)
    for date, value in (("ds", "y"), ("date", "close"), ("date", "value")):
        rows = [
            {date: f"2026-{1 + at // 28:02}-{1 + at % 28:02}", value: one}
            for at, one in enumerate(SERIES)
        ]
        assert SeriesBody.of({"data": rows}).data == tuple(SERIES)


def test_moments_of_a_series_are_compared_wherever_they_are():
    rows: list[dict[str, Any]] = [
        {"ds": f"2026-01-01T{at // 4:02}:{at % 4 * 15:02}:00+00:00", "y": 1.0} for at in range(60)
    ]
    rows[5]["ds"] = "2026-01-01T02:15:00+01:00"
    assert len(SeriesBody.of({"data": rows}).data) == 60


def test_what_is_not_said_has_its_default():
    body = SeriesBody.of({"data": SERIES})
    assert (body.seq_length, body.epochs, body.learning_rate, body.days) == (30, 50, 0.001, 5)
    assert (body.train_size, body.held, body.ticker) == (48, 2, "custom")


def dated(*dates: Any) -> list[dict[str, Any]]:
    return [{"ds": date, "y": 1.0} for date in dates]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "data"),
        ({"data": SERIES[:59]}, "data"),
        ({"data": "1,2,3"}, "data"),
        ({"data": [1.0] * 10_001}, "data"),
        ({"data": [*SERIES, 0]}, "data[60]"),
        ({"data": [*SERIES, -1.5]}, "data[60]"),
        ({"data": [*SERIES, "5"]}, "data[60]"),
        ({"data": [*SERIES, True]}, "data[60]"),
        ({"data": [*SERIES, float("nan")]}, "data[60]"),
        ({"data": dated("2026-01-02", "2026-01-01")}, "data[1].ds"),
        ({"data": dated("2026-01-02", "2026-01-02")}, "data[1].ds"),
        ({"data": dated("soon")}, "data[0].ds"),
        ({"data": dated(5)}, "data[0].ds"),
        ({"data": [{"y": 1.0}]}, "data[0]"),
        ({"data": [{"ds": "2026-01-01"}]}, "data[0]"),
        ({"data": [{"ds": "2026-01-01", "y": 1, "close": 1}]}, "data[0]"),
        ({"data": [{"ds": "2026-01-01", "y": 1}, 2.0]}, "data[1]"),
        ({"data": SERIES, "seq_length": 60}, "data"),
        ({"data": SERIES, "days": 30}, "data"),
        ({"data": SERIES, "days": 0}, "days"),
        ({"data": SERIES, "epochs": 1.5}, "epochs"),
        ({"data": SERIES, "epochs": 501}, "epochs"),
        ({"data": SERIES, "learning_rate": 0}, "learning_rate"),
        ({"data": SERIES, "learning_rate": "fast"}, "learning_rate"),
        ({"data": SERIES, "horizon": 3}, "horizon"),
    ],
)
def test_a_series_that_cannot_be_learnt_from_is_refused_by_field(body: Any, field: str):
    with pytest.raises(SignatureMismatch) as refused:
        SeriesBody.of(body)
    assert refused.value.field == field


@pytest.mark.parametrize(("seq_length", "days"), [(5, 1), (30, 5), (60, 10), (120, 90)])
def test_the_least_number_of_points_is_said_and_is_enough(seq_length: int, days: int):
    told = {"seq_length": seq_length, "days": days}
    with pytest.raises(SignatureMismatch) as refused:
        SeriesBody.of({"data": [1.0], **told})
    least = int(refused.value.expected.split()[2])
    SeriesBody.of({"data": [1.0] * least, **told})
    with pytest.raises(SignatureMismatch):
        SeriesBody.of({"data": [1.0] * (least - 1), **told})
