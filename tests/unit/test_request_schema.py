"""What a model takes, as JSON Schema: params beside the rows."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from registry.params import Param
from registry.signature import Column, Signature
from serving.request_schema import request_schema

PARAMS = (Param("scale", "double", 2.0), Param("words", "string", ["a"], many=True))


def takes(body: Any, params: tuple[Param, ...] = PARAMS) -> bool:
    signature = Signature((Column("x", "double"),))
    schema = request_schema("tabular", signature, params, most_rows=3, most_steps=3)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema).is_valid(body)


@pytest.mark.parametrize("said", [{}, {"scale": 3}, {"words": []}, {"scale": 1.5, "words": ["b"]}])
def test_params_may_stand_beside_the_rows(said: Any) -> None:
    assert takes({"inputs": {"x": [1.0]}, "params": said})
    assert takes({"dataframe_records": [{"x": 1.0}], "params": said})


@pytest.mark.parametrize("said", [{"scael": 1}, {"scale": "3"}, {"words": "b"}, {"words": [1]}, 1])
def test_params_that_are_refused_do_not_fit_the_schema(said: Any) -> None:
    assert not takes({"inputs": {"x": [1.0]}, "params": said})


def test_where_there_are_none_they_are_not_named() -> None:
    assert takes({"inputs": {"x": [1.0]}}, ())
    assert not takes({"inputs": {"x": [1.0]}, "params": {"scale": 3}}, ())


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({"horizon": 2}, True),
        ({"horizon": 2, "history": [{"ds": "2026-11-02", "close": 1}]}, True),
        ({"future": [{"ds": "2026-11-03"}], "history": [{"ds": "2026-11-02", "close": 1}]}, True),
        ({"horizon": 2, "history": []}, False),
        ({"horizon": 2, "history": [{"ds": "2026-11-02"}]}, False),
        ({"horizon": 2, "history": [{"ds": "2026-11-02", "close": "1"}]}, False),
        ({"history": [{"ds": "2026-11-02", "close": 1}]}, False),
    ],
)
def test_a_history_may_stand_beside_what_is_asked(body: Any, fits: bool) -> None:
    signature = Signature((Column("ds", "datetime"),))
    schema = request_schema("forecast", signature, history=("close",), most_rows=3, most_steps=3)
    assert Draft202012Validator(schema).is_valid(body) is fits
    without = request_schema("forecast", signature, most_rows=3, most_steps=3)
    assert Draft202012Validator(without).is_valid(body) is (fits and "history" not in body)
