"""MLflow's params: what a request may say beside its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from registry.errors import BundleInvalid, SignatureMismatch
from registry.params import Param, from_mlmodel
from registry.signature import Column, Signature, Tensor
from serving.kinds.tabular import Tabular

SPECS = [
    {"name": "scale", "type": "double", "default": 2.0, "shape": None},
    {"name": "words", "type": "string", "default": ["a"], "shape": [-1]},
    {"name": "deep", "type": "object", "default": {}, "shape": None, "properties": {}},
]
X = Tensor("x", "float64", (-1,))


class Engine:
    """Remembers what it was fed."""

    outputs = ("y",)

    def __init__(self, *params: Tensor) -> None:
        self.inputs = (X, *params)
        self.fed: dict[str, Any] = {}

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.fed = dict(inputs)
        return {"y": inputs["x"]}


def ask(params: Any, *inputs: Tensor, of: Any = None) -> dict[str, Any]:
    """What the engine is fed beside `x`."""
    engine = Engine(*inputs)
    known = from_mlmodel(json.dumps(of or SPECS))
    signature = Signature((Column("x", "double"),))
    model = Tabular(engine, signature=signature, params=known, max_rows=10)
    model.predict({"inputs": {"x": [1.0, 2.0]}, "params": params})
    model.repeat({"inputs": {"x": [1.0, 2.0]}, "params": params})
    assert len(engine.fed.pop("x")) == 4
    return {name: array.tolist() for name, array in engine.fed.items()}


ANY = (Tensor("scale", "object", ()), Tensor("words", "object", ()))


def test_what_is_not_said_has_its_default_and_what_is_said_its_value() -> None:
    assert ask(None, *ANY) == {"scale": 2.0, "words": ["a"]}
    assert ask({}, *ANY) == {"scale": 2.0, "words": ["a"]}
    assert ask({"scale": 3}, *ANY) == {"scale": 3, "words": ["a"]}
    assert ask({"words": ["b", "c"]}, *ANY) == {"scale": 2.0, "words": ["b", "c"]}


@pytest.mark.parametrize(
    ("shape", "fed"), [((), 3.0), ((1,), [3.0]), ((-1,), [3.0]), ((1, 1), [[3.0]])]
)
def test_a_graph_is_fed_the_param_in_its_inputs_own_type_and_shape(
    shape: tuple[int, ...], fed: Any
) -> None:
    assert ask({"scale": 3}, Tensor("scale", "float32", shape)) == {"scale": fed}


@pytest.mark.parametrize(
    ("said", "field", "got"),
    [
        ({"scael": 1}, "params.scael", "an unknown param"),
        ({"deep": {}}, "params.deep", "an unknown param"),
        ({"scale": "3"}, "params.scale[0]", "string"),
        ({"scale": True}, "params.scale[0]", "boolean"),
        ({"scale": None}, "params.scale[0]", "null"),
        ({"scale": [1.0]}, "params.scale", "array"),
        ({"words": "b"}, "params.words", "string"),
        ({"words": ["b", 1]}, "params.words[1]", "integer"),
        ([1], "params", "array"),
        ("scale", "params", "string"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(said: Any, field: str, got: str) -> None:
    with pytest.raises(SignatureMismatch) as caught:
        ask(said, *ANY)
    assert caught.value.field == field
    assert caught.value.got.startswith(got)


def test_a_number_that_the_graph_cannot_hold_is_refused() -> None:
    with pytest.raises(SignatureMismatch, match=r"params\.scale: .*beyond its range"):
        ask({"scale": 1e300}, Tensor("scale", "float32", ()))


def test_a_list_of_another_length_than_the_graphs_is_refused() -> None:
    many = [{"name": "scale", "type": "double", "default": [1.0, 2.0], "shape": [-1]}]
    assert ask(None, Tensor("scale", "float64", (2,)), of=many) == {"scale": [1.0, 2.0]}
    with pytest.raises(SignatureMismatch, match=r"params\.scale: .*shape \[3\]"):
        ask({"scale": [1, 2, 3]}, Tensor("scale", "float64", (2,)), of=many)


def test_a_param_that_the_graph_has_no_input_for_is_refused_not_ignored() -> None:
    with pytest.raises(SignatureMismatch, match=r"params\.scale: expected none for this model"):
        ask({"scale": 3})
    assert ask(None) == {}


def test_a_param_with_an_inputs_name_is_no_version_to_serve() -> None:
    params = (Param("x", "double", 1.0),)
    with pytest.raises(BundleInvalid, match="'x' is the name of a param and of an input"):
        Tabular(Engine(), signature=Signature((Column("x", "double"),)), params=params, max_rows=1)


@pytest.mark.parametrize("text", ["[1]", "{", '[{"name": "a"}]'])
def test_params_that_cannot_be_read_make_the_version_invalid(text: str) -> None:
    with pytest.raises(BundleInvalid, match="params cannot be read"):
        from_mlmodel(text)
