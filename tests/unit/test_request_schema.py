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
