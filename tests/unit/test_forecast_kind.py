"""Requests to a forecast model: what is taken, what comes back, what is refused and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from registry.errors import MalformedRequest, NotFinite, RequestTooLarge, SignatureMismatch
from registry.signature import describe
from serving.calendar import Calendar, Every, Step, Weekdays
from serving.kinds.forecast import Forecast

DAY = 86_400 * 10**9


class CountingEngine:
    """Answers 0, 1, 2 … and remembers what it was asked."""

    def __init__(
        self,
        required: Mapping[str, type] | None = None,
        *,
        last: str = "2026-11-01",
        step: Step | None = None,
        band: bool = True,
    ) -> None:
        """Stand on the day before 2026-11-02 and go on by days, unless told otherwise."""
        self.calendar = Calendar(np.datetime64(last, "ns"), step or Every(DAY))
        self.required = required or {}
        self.example = {name: kind(1) for name, kind in self.required.items()}
        self.asked: Mapping[str, NDArray[Any]] = {}
        self.last_value: float | None = None
        self.data_points: int | None = 60
        self._band = band

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """The rows' numbers, a band of one around them, and a trend."""
        self.asked = inputs
        y = np.arange(inputs["ds"].size, dtype=np.float64)
        bands = {"yhat_lower": y - 1, "yhat_upper": y + 1} if self._band else {}
        return {"trend": y, "yhat": y, **bands}


NEEDY = {"cap": float, "heat": float, "open": bool}
ROW = {"ds": "2026-11-02", "cap": 9.5, "heat": 1, "open": True}


def ask(body: Mapping[str, object], engine: CountingEngine | None = None) -> list[dict[str, Any]]:
    """The predictions for `body`, which must be plain JSON."""
    answer = Forecast(engine or CountingEngine(), max_horizon=1000).predict(body)
    predictions: list[dict[str, Any]] = json.loads(json.dumps(answer))["predictions"]
    return predictions


def refusal(body: Mapping[str, object], engine: CountingEngine | None = None) -> SignatureMismatch:
    """The mismatch that `body` raises."""
    with pytest.raises(SignatureMismatch) as caught:
        ask(body, engine)
    return caught.value


@pytest.mark.parametrize("field", ["horizon", "days"])
def test_a_horizon_starts_after_the_last_training_date(field: str) -> None:
    """Horizon and days mean the same."""
    assert ask({field: 2}) == [
        {"ds": "2026-11-02", "yhat": 0.0, "yhat_lower": -1.0, "yhat_upper": 1.0},
        {"ds": "2026-11-03", "yhat": 1.0, "yhat_lower": 0.0, "yhat_upper": 2.0},
    ]


def test_a_horizon_counts_dates_of_the_calendar() -> None:
    """Thirty of a series of business days are six weeks."""
    rows = ask({"horizon": 30}, CountingEngine(step=Weekdays(), last="2026-10-30"))
    assert (rows[0]["ds"], rows[-1]["ds"]) == ("2026-11-02", "2026-12-11")


def test_a_model_without_a_band_answers_without_one() -> None:
    """The keys are left out rather than null."""
    assert ask({"horizon": 1}, CountingEngine(band=False)) == [{"ds": "2026-11-02", "yhat": 0.0}]


def test_times_of_day_are_told_when_there_are_any() -> None:
    """Dates while all are midnight, else datetimes, with fractions where they count."""
    assert ask({"horizon": 1}, CountingEngine(last="2026-11-01T06"))[0]["ds"] == (
        "2026-11-02T06:00:00"
    )
    mixed = [{"ds": "2026-11-02"}, {"ds": "2026-11-02T06:00:00.5"}]
    assert [row["ds"] for row in ask({"future": mixed})] == [
        "2026-11-02T00:00:00.000",
        "2026-11-02T06:00:00.500",
    ]


@pytest.mark.parametrize("field", ["horizon", "days"])
@pytest.mark.parametrize("asked", [0, -1, 1001, 10**9, 1.0, True, "7", None, [7], {}])
def test_a_horizon_is_an_integer_within_the_limit(field: str, asked: object) -> None:
    """Everything else is named with what was expected and what came."""
    mismatch = refusal({field: asked})
    expected = "an integer from 1 to 1000"
    assert (mismatch.field, mismatch.expected, mismatch.got) == (field, expected, describe(asked))


def test_a_horizon_past_the_end_of_time_is_refused() -> None:
    """Nanoseconds end in 2262; a thousand years do not fit."""
    mismatch = refusal({"horizon": 1000}, CountingEngine(step=Every(365 * DAY)))
    assert mismatch.field == "horizon"
    assert "2262" in str(mismatch)


def test_a_model_that_needs_columns_asks_for_future_rows() -> None:
    """A bare horizon names the first missing column and says what to send."""
    mismatch = refusal({"horizon": 3}, CountingEngine(NEEDY))
    assert mismatch.field == "cap"
    assert '"future"' in str(mismatch)


def test_future_rows_bring_dates_and_columns_in_their_order() -> None:
    """Numbers may be whole, conditions may be 0 and 1."""
    engine = CountingEngine(NEEDY)
    rows = [ROW | {"ds": "2026-11-05"}, {"open": 0, "heat": 2.5, "cap": 8, "ds": "2026-11-03"}]
    assert [row["ds"] for row in ask({"future": rows}, engine)] == ["2026-11-05", "2026-11-03"]
    assert engine.asked["ds"].dtype == np.dtype("datetime64[ns]")
    assert {name: engine.asked[name].tolist() for name in NEEDY} == {
        "cap": [9.5, 8.0],
        "heat": [1.0, 2.5],
        "open": [True, False],
    }
    assert engine.asked["open"].dtype == np.bool_


SPLIT = {"columns": [*ROW, "y"], "index": [0], "data": [[*ROW.values(), None]]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [ROW | {"y": None}]},
        {"dataframe_split": SPLIT},
        {"inputs": {name: [value] for name, value in ROW.items()}},
        {"inputs": [ROW]},
        {"instances": [ROW], "params": {}},
    ],
    ids="+".join,
)
def test_mlflows_envelopes_are_future_rows(body: dict[str, object]) -> None:
    """Columns beyond the model's are left out, as MLflow does."""
    engine = CountingEngine(NEEDY)
    assert len(ask(body, engine)) == 1
    assert engine.asked["cap"].tolist() == [9.5]
    assert set(engine.asked) == {"ds", *NEEDY}


@pytest.mark.parametrize(
    ("change", "field", "expected", "got"),
    [
        ({"cap": None}, "future[1].cap", "a number", "null"),
        ({"cap": "9"}, "future[1].cap", "a number", 'string "9"'),
        ({"cap": True}, "future[1].cap", "a number", "boolean true"),
        ({"heat": 10**400}, "future[1].heat", "a finite number", "1000"),
        ({"open": 2}, "future[1].open", "true or false", "2"),
        ({"open": "yes"}, "future[1].open", "true or false", 'string "yes"'),
        ({"ds": None}, "future[1].ds", "an ISO-8601 date", "null"),
        ({"ds": 1793577600000}, "future[1].ds", "an ISO-8601 date", "1793577600000"),
        ({"heatt": 1}, "future[1].heatt", "one of cap, ds, heat, open", "does not take"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(
    change: dict[str, object], field: str, expected: str, got: str
) -> None:
    """By form, row and column."""
    mismatch = refusal({"future": [ROW, ROW | change]}, CountingEngine(NEEDY))
    assert mismatch.field == field
    assert expected in mismatch.expected
    assert got in mismatch.got
    assert len(str(mismatch)) < 250


@pytest.mark.parametrize("name", ROW)
def test_a_missing_cell_is_named(name: str) -> None:
    """It is told apart from null."""
    rows = [ROW, {key: value for key, value in ROW.items() if key != name}]
    mismatch = refusal({"future": rows}, CountingEngine(NEEDY))
    assert (mismatch.field, mismatch.got) == (f"future[1].{name}", "nothing")


WORDS = """tomorrow now NaT 2026-11 20261102 2026-13-01 2026-02-30 02/11/2026 2026-W45-1 ٢٠٢٦-11-02
2026-11-02T25:00 2026-11-02T6:00 2026-11-02T 1500-01-01 3000-01-01"""
SPACED = ("", " 2026-11-02", "2026-11-02\n", "x" * 10_000)


@pytest.mark.parametrize("text", [*WORDS.split(), *SPACED])
def test_dates_are_read_strictly(text: str) -> None:
    """Nothing is guessed and nothing wraps around."""
    mismatch = refusal({"future": [{"ds": text}]})
    assert mismatch.field == "future[0].ds"
    assert "ISO-8601" in mismatch.expected
    assert len(str(mismatch)) < 250


@pytest.mark.parametrize("text", ["2026-11-02T06:00:00Z", "2026-11-02T06:00+03:00"])
def test_a_time_zone_is_refused_and_said_to_be_the_reason(text: str) -> None:
    """Prophet is trained without zones; converting is the client's decision."""
    assert "without a time zone" in refusal({"future": [{"ds": text}]}).expected


@pytest.mark.parametrize(
    "text", ["2026-11-02", "2026-11-02T00:00", "2026-11-02 00:00:00", "2026-11-02T00:00:00.000"]
)
def test_dates_may_carry_a_time(text: str) -> None:
    """With T or a space, to the minute, the second or a fraction."""
    assert ask({"future": [{"ds": text}]})[0]["ds"] == "2026-11-02"


def test_an_unknown_key_is_named_with_those_that_are_known() -> None:
    """A typing mistake must not be taken for a default."""
    mismatch = refusal({"horizont": 3})
    assert mismatch.field == "horizont"
    assert "horizon" in mismatch.expected
    assert refusal({"horizon": 3, "params": {"seed": 1}}).field == "params"


@pytest.mark.parametrize("required", [{}, NEEDY])
def test_the_synthetic_request_fits(required: dict[str, type]) -> None:
    """It is the next date, with the engine's example where columns are needed."""
    engine = CountingEngine(required)
    assert len(ask(Forecast(engine, max_horizon=5).synthetic(), engine)) == 1
    assert str(engine.asked["ds"][0])[:10] == "2026-11-02"


def test_the_signature_is_the_date_and_what_the_model_needs() -> None:
    """In MLflow's types."""
    columns = Forecast(CountingEngine(NEEDY), max_horizon=5).signature.columns
    assert [(column.name, column.type) for column in columns] == [
        ("ds", "datetime"),
        ("cap", "double"),
        ("heat", "double"),
        ("open", "boolean"),
    ]


def test_nan_is_never_sent() -> None:
    """A model that answers it is at fault, not the client."""
    engine = CountingEngine()
    engine.run = lambda inputs: {"yhat": np.full(inputs["ds"].size, np.nan)}  # type: ignore[method-assign]
    with pytest.raises(NotFinite, match="yhat"):
        ask({"horizon": 1}, engine)


def test_a_history_is_refused_with_the_reason() -> None:
    """These models forecast from what they were trained on."""
    mismatch = refusal({"horizon": 3, "history": [1.0]})
    assert mismatch.field == "history"
    assert "takes none" in str(mismatch)


@pytest.mark.parametrize(
    "body", [{}, {"params": {}}, {"horizon": 1, "days": 1}, {"horizon": 1, "future": []}]
)
def test_exactly_one_form_is_wanted(body: dict[str, object]) -> None:
    """None and several are the wrong envelope."""
    with pytest.raises(MalformedRequest, match="exactly one of"):
        ask(body)


def test_too_many_rows_are_too_large_and_none_too_few() -> None:
    """The limit holds for rows as for horizons."""
    with pytest.raises(RequestTooLarge, match="1001 rows are over the limit of 1000"):
        ask({"future": [{"ds": "2026-11-02"}] * 1001})
    assert len(ask({"future": [{"ds": "2026-11-02"}] * 1000})) == 1000
    bodies: list[dict[str, object]] = [{"future": []}, {"inputs": {}}, {"inputs": {"ds": []}}]
    for body in bodies:
        assert refusal(body).expected == "at least one row"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"future": {"ds": "2026-11-02"}}, "future"),
        ({"future": ["2026-11-02"]}, "future[0]"),
        ({"dataframe_split": []}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["ds"]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["ds"], "data": 1}}, "dataframe_split.data"),
        ({"dataframe_split": {"columns": ["ds"], "data": [[]]}}, "dataframe_split.data[0]"),
        ({"inputs": {"ds": "2026-11-02"}}, "inputs.ds"),
        ({"inputs": {"ds": ["2026-11-02"], "cap": []}}, "inputs"),
        ({"inputs": 1}, "inputs"),
    ],
)
def test_a_form_of_the_wrong_shape_is_named(body: dict[str, object], field: str) -> None:
    """With the place in it."""
    assert refusal(body).field == field


def test_what_is_known_of_the_series_can_be_told() -> None:
    engine = CountingEngine()
    model = Forecast(engine, max_horizon=10)
    assert model.known({}) == {"data_points": 60}
    engine.last_value = 31.5
    assert model.known({"horizon": 3}) == {"last_known_price": 31.5, "data_points": 60}
