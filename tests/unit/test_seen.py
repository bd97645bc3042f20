"""What kinds tell of a request for the prediction log: by column, as the engine saw it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from registry.errors import SignatureMismatch
from registry.signature import Column, Tensor
from serving.kinds.forecast import Forecast
from serving.kinds.tabular import Tabular
from serving.kinds.window import WindowForecast
from tests.servingfakes.pictures import BLUE, GREEN, RED, picture
from tests.unit.test_forecast_kind import NEEDY, ROW, CountingEngine
from tests.unit.test_image_kind import Colours, image
from tests.unit.test_serving_tabular import FOUR, OnesEngine, tabular
from tests.unit.test_window_kind import OWN, SCHEMA, Engine


def seen(model: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Lists for arrays."""
    found: dict[str, Any] = {}
    model.predict(body, found)
    return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in found.items()}


BY_COLUMN = {"a": [1.0, 5.0], "b": [2.0, 6.0], "c": [3.0, 7.0], "d": [4.0, 8.0]}
ROWS = [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ROWS},
        {"dataframe_split": {"columns": list("abcd"), "data": ROWS}},
        {"dataframe_split": {"columns": list("dcba"), "data": [row[::-1] for row in ROWS]}},
        {"dataframe_records": [dict(zip("abcd", row, strict=True)) for row in ROWS]},
        {"inputs": BY_COLUMN},
    ],
)
def test_rows_in_any_form_are_the_same_columns(body: dict[str, Any]) -> None:
    assert seen(tabular(OnesEngine()), body) == BY_COLUMN


def test_columns_of_several_types_are_told_as_they_are() -> None:
    columns = (Column("n", "long"), Column("city", "string"))
    inputs = (Tensor("n", "int64", (-1, 1)), Tensor("city", "object", (-1, 1)))
    body = {"dataframe_records": [{"n": 1, "city": "Ulm"}, {"n": 2, "city": "Bonn"}]}
    found = seen(tabular(OnesEngine(inputs), columns), body)
    assert found == {"n": [1, 2], "city": ["Ulm", "Bonn"]}


def test_tensors_are_told_by_name_a_row_an_item() -> None:
    model = Tabular(OnesEngine(), signature=None, max_rows=10)
    assert seen(model, {"inputs": ROWS}) == {"X": [[1, 2, 3, 4], [5, 6, 7, 8]]}


@pytest.mark.parametrize("form", ["horizon", "days"])
def test_a_forecast_is_told_as_it_was_asked(form: str) -> None:
    model = Forecast(CountingEngine(), max_horizon=10)
    assert seen(model, {form: 7, "params": {}}) == {form: 7}


def test_future_rows_and_a_history_are_told_as_they_came() -> None:
    needy = Forecast(CountingEngine(NEEDY), max_horizon=10)
    assert seen(needy, {"future": [ROW]}) == {"future": [ROW]}
    window = WindowForecast(Engine(), schema=SCHEMA, max_horizon=100)
    assert seen(window, {"horizon": 2}) == {"horizon": 2}
    asked = {"horizon": 2, "history": OWN}
    assert seen(window, asked) == asked


def test_of_pictures_it_is_told_what_they_are_and_not_what_they_show() -> None:
    png = picture(RED)
    found = seen(image(), {"instances": [png, png]})
    assert found["sha256"] == [hashlib.sha256(png).hexdigest()] * 2
    assert (found["format"], found["bytes"]) == (["PNG"] * 2, [len(png)] * 2)
    looks = {"red", "green", "blue", "contrast"}
    assert found.keys() == {"format", "width", "height", "bytes", "sha256", *looks}


@pytest.mark.parametrize("engine", [None, Colours((-1, 3, 4, 4)), Colours(dtype="float32")])
def test_of_each_picture_it_is_told_how_it_looks(engine: Colours | None) -> None:
    """More than are in the graph at once, and channels first or last."""
    bodies = [picture(one) for one in (RED, GREEN, BLUE) * 5]
    found = seen(image(engine), {"instances": bodies})
    assert found["red"] == [255.0, 0.0, 0.0] * 5
    assert found["green"] == [0.0, 255.0, 0.0] * 5
    assert found["blue"] == [0.0, 0.0, 255.0] * 5
    assert found["contrast"] == [120.21] * 15
    assert len(found["sha256"]) == 15


def test_nothing_is_told_unless_it_is_asked_for() -> None:
    assert tabular(OnesEngine()).predict({"instances": ROWS})["predictions"].tolist() == [1, 1]
    with pytest.raises(SignatureMismatch):
        seen(tabular(OnesEngine(), FOUR), {"instances": [["x", 2, 3, 4]]})
