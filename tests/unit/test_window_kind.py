"""Forecasts from the last rows of a series: the bundle's, or those that a request brings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from registry.errors import (
    BundleInvalid,
    MalformedRequest,
    NotFinite,
    SignatureMismatch,
    WrongShape,
)
from registry.signature import Tensor
from serving.kinds.window import WindowForecast

LENGTH, STEPS = 3, 4
COLUMNS = ("open", "close")
MONDAY = np.datetime64("2026-11-02")


def rows(*closes: float, first: np.datetime64 = MONDAY) -> list[dict[str, Any]]:
    """Days one after the other; `open` is always 1."""
    return [
        {"ds": str(first + np.timedelta64(n)), "open": 1, "close": close}
        for n, close in enumerate(closes)
    ]


OWN = rows(10, 20, 30)
SCHEMA: Mapping[str, Any] = {"columns": list(COLUMNS), "history": OWN}


class Engine:
    """Goes on from the last close by one a day, and remembers the window."""

    def __init__(self, *shape: int, outputs: tuple[str, ...] = ("yhat", "yhat_lower")) -> None:
        self.inputs = (Tensor("window", "float32", shape or (-1, LENGTH, len(COLUMNS))),)
        self.outputs = outputs
        self.asked: list[Any] = []
        self.answer: Any = None

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        window = inputs["window"]
        self.asked.append(window)
        path = window[:, -1:, -1] + np.arange(1, STEPS + 1, dtype=np.float32)
        path = path if self.answer is None else self.answer
        return {"yhat": path, "yhat_lower": path - 1}


def ask(body: Mapping[str, Any], engine: Engine | None = None) -> list[tuple[str, float]]:
    """Dates and forecasts; a lower bound is always one below."""
    model = WindowForecast(engine or Engine(), schema=SCHEMA, max_horizon=100)
    found = json.loads(json.dumps(model.predict(body)))["predictions"]
    assert all(row["yhat_lower"] == row["yhat"] - 1 for row in found)
    return [(row["ds"], row["yhat"]) for row in found]


def refusal(body: Mapping[str, Any]) -> tuple[str, str]:
    with pytest.raises(SignatureMismatch) as caught:
        ask(body)
    return caught.value.field, caught.value.got


def test_without_a_history_it_goes_on_from_the_bundles_own() -> None:
    assert ask({"horizon": 2}) == [("2026-11-05", 31), ("2026-11-06", 32)]
    assert ask({"days": 4})[-1] == ("2026-11-08", 34)


def test_with_a_history_it_goes_on_from_there() -> None:
    body = {"history": rows(1, 2, 3, 4, 5, first=np.datetime64("2027-01-01")), "horizon": 1}
    engine = Engine()
    assert ask(body, engine) == [("2027-01-06", 6)]
    assert engine.asked[-1].tolist() == [[[1, 3], [1, 4], [1, 5]]], "the last rows, by column"
    assert ask({"horizon": 1}) == [("2026-11-05", 31)], "nothing of it stays"


def test_open_days_are_those_of_the_history() -> None:
    """Monday to Friday, for six weeks."""
    days = np.busday_offset(MONDAY, np.arange(30))
    history = [{"ds": str(day), "open": 1, "close": 1} for day in days]
    told = [day for day, _ in ask({"history": history, "horizon": 4})]
    assert told == [str(day) for day in np.busday_offset(days[-1], [1, 2, 3, 4])]


def test_dates_may_be_asked_for_in_any_order_and_envelope() -> None:
    later, sooner = {"ds": "2026-11-07"}, {"ds": "2026-11-05"}
    for form in ("future", "dataframe_records", "instances"):
        assert ask({form: [later, sooner]}) == [("2026-11-07", 33), ("2026-11-05", 31)]


REFUSED: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "beyond what it tells": ({"horizon": 5}, "horizon", "integer 5"),
    "a day beyond": ({"future": [{"ds": "2026-11-09"}]}, "ds", "2026-11-09"),
    "a day that is past": ({"future": [{"ds": "2026-11-04"}]}, "ds", "2026-11-04"),
    "an hour of a day": ({"future": [{"ds": "2026-11-05T01:00"}]}, "ds", "2026-11-05T01:00:00"),
    "too few rows": ({"horizon": 1, "history": rows(1, 2)}, "history", "2 rows"),
    "too many rows": ({"horizon": 1, "history": rows(*[1] * 5001)}, "history", "5001 rows"),
    "no rows": ({"horizon": 1, "history": {}}, "history", "object {}"),
    "a date twice": (
        {"horizon": 1, "history": [*OWN, OWN[-1]]},
        "history[3].ds",
        "2026-11-04",
    ),
    "a column missing": (
        {"horizon": 1, "history": [*OWN, {"ds": "2026-12-01", "open": 1}]},
        "history[3].close",
        "nothing",
    ),
    "a text for a number": (
        {"horizon": 1, "history": [*OWN, {"ds": "2026-12-01", "open": 1, "close": "9"}]},
        "history[3].close",
        'string "9"',
    ),
    "a column more": (
        {"horizon": 1, "history": [{**OWN[0], "volume": 1}, *OWN[1:]]},
        "history[0].volume",
        "a column",
    ),
    "beyond float32": ({"horizon": 1, "history": rows(1, 2, 1e39)}, "history[2].close", "number"),
}


@pytest.mark.parametrize(("body", "field", "got"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(
    body: Mapping[str, Any], field: str, got: str
) -> None:
    found = refusal(body)
    assert (found[0], found[1][: len(got)]) == (field, got)


def test_a_history_alone_asks_nothing() -> None:
    with pytest.raises(MalformedRequest, match="exactly one of"):
        ask({"history": OWN})


def test_an_answer_that_is_no_number_or_of_another_shape_is_the_models_fault() -> None:
    engine = Engine()
    model = WindowForecast(engine, schema=SCHEMA, max_horizon=100)
    engine.answer = np.full((1, STEPS), np.nan, np.float32)
    with pytest.raises(NotFinite):
        model.predict({"horizon": 1})
    engine.answer = np.ones((1, STEPS + 1), np.float32)
    with pytest.raises(WrongShape):
        model.predict({"horizon": 1})


BROKEN: Mapping[str, tuple[Engine, Mapping[str, Any], str]] = {
    "no columns": (Engine(), {"history": OWN}, "columns: expected distinct names"),
    "a column twice": (Engine(), {**SCHEMA, "columns": ["open", "open"]}, "columns"),
    "a column named ds": (Engine(), {**SCHEMA, "columns": ["ds", "close"]}, "columns"),
    "no history": (Engine(), {"columns": list(COLUMNS)}, "history: expected a list"),
    "too short a history": (Engine(), {**SCHEMA, "history": OWN[:2]}, "history: expected from 3"),
    "a graph of rows": (Engine(-1, 2), SCHEMA, "expected an input float32"),
    "a graph of other columns": (Engine(-1, 3, 3), SCHEMA, "expected an input float32"),
    "a graph without yhat": (Engine(outputs=("y",)), SCHEMA, "an output yhat"),
}


@pytest.mark.parametrize(("engine", "schema", "said"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_forecast_is_no_version_to_serve(
    engine: Engine, schema: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(BundleInvalid, match=said):
        WindowForecast(engine, schema=schema, max_horizon=100)


def test_a_graph_that_tells_one_number_a_window_is_no_version_to_serve() -> None:
    engine = Engine()
    engine.answer = np.ones(1, np.float32)
    with pytest.raises(BundleInvalid, match=r"expected yhat as \[n, steps\]"):
        WindowForecast(engine, schema=SCHEMA, max_horizon=100)


def test_the_nodes_limit_counts_too() -> None:
    model = WindowForecast(Engine(), schema=SCHEMA, max_horizon=2)
    with pytest.raises(SignatureMismatch, match="from 1 to 2"):
        model.predict({"horizon": 3})


def test_its_synthetic_request_is_one_that_it_takes() -> None:
    model = WindowForecast(Engine(), schema=SCHEMA, max_horizon=100)
    answer = model.predict(model.synthetic())
    assert model.tensors(answer) == {"ds": ["2026-11-05"], "yhat": [31.0], "yhat_lower": [30.0]}


def test_what_is_known_of_the_series_can_be_told() -> None:
    """Of the rows that a request brought, if it did."""
    schema = {**SCHEMA, "target": "close", "data_points": 900}
    model = WindowForecast(Engine(), schema=schema, max_horizon=9)
    assert model.known({"horizon": 1}) == {"last_known_price": 30, "data_points": 900}
    seen: dict[str, Any] = {}
    model.predict({"history": rows(1, 2, 3, 4), "horizon": 1}, seen)
    assert model.known(seen) == {"last_known_price": 4, "data_points": 900}
    before = WindowForecast(Engine(), schema=SCHEMA, max_horizon=9)
    assert before.known({"history": OWN}) == {}, "of a bundle made before it said so"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target": "price"}, 'target: expected one of open, close, got string "price"'),
        ({"data_points": 0}, "data_points: expected a positive integer, got integer 0"),
        ({"data_points": True}, "data_points: expected a positive integer"),
    ],
)
def test_a_schema_that_says_it_wrongly_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleInvalid, match=re.escape(said)):
        WindowForecast(Engine(), schema={**SCHEMA, **changed}, max_horizon=9)
