"""Requests to a model of tensors: shapes, types, names; and graphs that bring no signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import BundleInvalid, RequestTooLarge, SignatureMismatch
from registry.signature import Signature, Tensor
from serving.kinds.tabular import Tabular

ONE = (Tensor("X", "float32", (-1, 2)),)
TWO = (Tensor("a", "float32", (-1, 2)), Tensor("b", "int64", (-1,)))


class Engine:
    """Remembers its feed."""

    outputs = ("y",)

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        self.inputs = inputs
        self.fed: Mapping[str, Any] = {}

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.fed = inputs
        rows = {tensor.name for tensor in self.inputs if tensor.shape[:1] == (-1,)}
        return {"y": np.ones(max([len(inputs[name]) for name in rows], default=1))}


def fed(
    body: Mapping[str, Any],
    inputs: tuple[Tensor, ...] = ONE,
    signature: tuple[Tensor, ...] | None = None,
) -> dict[str, Any]:
    """What a request puts into the graph; without a signature, the graph's inputs are one."""
    engine = Engine(inputs)
    said = Signature(tensors=signature) if signature else None
    Tabular(engine, signature=said, max_rows=10).predict(body)
    for tensor in inputs:
        assert engine.fed[tensor.name].dtype == np.dtype(tensor.dtype)
    return {name: array.tolist() for name, array in engine.fed.items()}


def refusal(body: Mapping[str, Any], inputs: tuple[Tensor, ...] = ONE) -> tuple[str, str]:
    with pytest.raises(SignatureMismatch) as caught:
        fed(body, inputs)
    return caught.value.field, caught.value.got


SAME: Mapping[str, Mapping[str, Any]] = {
    "inputs": {"inputs": [[1, 2], [3, 4]]},
    "instances": {"instances": [[1, 2], [3, 4]]},
    "by name": {"inputs": {"X": [[1, 2], [3, 4]]}},
    "by record": {"instances": [{"X": [1, 2]}, {"X": [3, 4]}]},
    "dataframe_records": {"dataframe_records": [{"X": [1, 2]}, {"X": [3, 4]}]},
    "dataframe_split": {"dataframe_split": {"columns": [0, 1], "data": [[1, 2], [3, 4]]}},
}


@pytest.mark.parametrize("body", SAME.values(), ids=SAME)
def test_every_envelope_reaches_the_only_tensor(body: Mapping[str, Any]) -> None:
    assert fed(body) == {"X": [[1.0, 2.0], [3.0, 4.0]]}


def test_several_tensors_are_told_apart_by_name() -> None:
    body = {"inputs": {"b": [7, 8], "a": [[1, 2], [3, 4]]}}
    assert fed(body, TWO) == {"a": [[1.0, 2.0], [3.0, 4.0]], "b": [7, 8]}


def test_a_signature_in_another_order_than_the_graph_still_goes_by_name() -> None:
    body = {"inputs": {"a": [[1, 2]], "b": [7]}}
    assert fed(body, TWO, TWO[::-1]) == {"a": [[1.0, 2.0]], "b": [7]}


def test_a_signature_without_names_goes_by_position() -> None:
    assert fed({"inputs": [[1, 2]]}, ONE, (Tensor("", "float64", (-1, 2)),)) == {"X": [[1.0, 2.0]]}


def test_a_signature_of_another_number_of_tensors_is_refused_at_load() -> None:
    with pytest.raises(BundleInvalid, match="has 1 tensors, the graph 2 inputs"):
        fed({}, TWO, ONE)


REFUSED: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "ragged rows": ({"inputs": [[1, 2], [3]]}, "X", "rows of unlike length"),
    "too wide": ({"inputs": [[1, 2, 3]]}, "X", "shape [1, 3]"),
    "too flat": ({"inputs": [1, 2]}, "X", "shape [2]"),
    "no rows": ({"inputs": []}, "X", "shape [0]"),
    "texts": ({"inputs": [["a", "b"]]}, "X", "values of string"),
    "booleans": ({"inputs": [[True, False]]}, "X", "values of boolean"),
    "a boolean between numbers": ({"inputs": [[1.0, True]]}, "X", "values of boolean and number"),
    "null": ({"inputs": [[1.0, None]]}, "X", "values of null and number"),
    "an object": ({"inputs": [[1.0, {}]]}, "X", "values of number and object"),
    "a number beyond float32": ({"inputs": [[1.0, 1e300]]}, "X", "a number beyond its range"),
    "nothing": ({"inputs": None}, "X", "values of null"),
    "an unknown tensor": ({"inputs": {"Z": [[1, 2]]}}, "Z", "an unknown tensor"),
    "split without data": ({"dataframe_split": {}}, "X", "values of null"),
    "a number after records": ({"instances": [{"X": [1, 2]}, 5]}, "instances[1]", "integer 5"),
    "a record of other tensors": (
        {"instances": [{"X": [1, 2]}, {"X": [1, 2], "Z": 1}]},
        "instances[1]",
        "object",
    ),
}


@pytest.mark.parametrize(("body", "field", "got"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(
    body: Mapping[str, Any], field: str, got: str
) -> None:
    found = refusal(body)
    assert (found[0], found[1][: len(got)]) == (field, got)


def test_a_tensor_that_did_not_come_is_named() -> None:
    assert refusal({"inputs": {"a": [[1, 2]]}}, TWO) == ("b", "nothing")


def test_one_array_for_several_tensors_is_refused() -> None:
    assert refusal({"inputs": [[1, 2]]}, TWO)[0] == "inputs"


def test_tensors_of_unlike_numbers_of_rows_are_refused() -> None:
    """The graph would fail on them, and that would look like the server's fault."""
    found = refusal({"inputs": {"a": [[1, 2]], "b": [1, 2]}}, TWO)
    assert found == ("b", "2 rows")


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", -1), ("uint8", 256), ("int32", 2**40), ("int64", 2**63)]
)
def test_a_whole_number_never_wraps_around(dtype: str, value: int) -> None:
    field, got = refusal({"inputs": [value]}, (Tensor("n", dtype, (-1,)),))
    assert (field, got) == ("n", "a number beyond its range")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(
    st.lists(
        st.lists(st.integers(-60_000, 60_000) | st.floats(-6e4, 6e4), min_size=2, max_size=2),
        min_size=1,
        max_size=9,
    )
)
@settings(deadline=None)
def test_numbers_become_the_nearest_of_the_tensors_type(dtype: str, rows: Any) -> None:
    got = Tensor("X", dtype, (-1, 2)).array(rows, field="X")
    assert got.dtype == np.dtype(dtype)
    assert got.tobytes() == np.array(rows, "float64").astype(dtype).tobytes()


@pytest.mark.parametrize("texts", [[["a"], ["b", "c"]], [["a"], "b"]])
def test_texts_of_unlike_length_are_no_tensor_of_texts(texts: Any) -> None:
    for shape in ((-1,), (-1, 1), (-1, -1)):
        assert refusal({"inputs": texts}, (Tensor("t", "object", shape),))[0] == "t"


def test_a_fraction_is_no_whole_number() -> None:
    found = refusal({"inputs": [1.5]}, (Tensor("n", "int64", (-1,)),))
    assert found == ("n", "values of number")


@pytest.mark.parametrize("dtype", ["object", "str"])
def test_texts_reach_a_string_tensor(dtype: str) -> None:
    graph = (Tensor("t", "object", (-1, 1)),)
    said = (Tensor("t", dtype, (-1, 1)),)
    assert fed({"inputs": [["São"], [""]]}, graph, said) == {"t": [["São"], [""]]}


@pytest.mark.parametrize("value", [1, None, True, 1.5])
def test_anything_else_does_not_reach_a_string_tensor(value: object) -> None:
    field, _ = refusal({"inputs": [["a"], [value]]}, (Tensor("t", "object", (-1, 1)),))
    assert field == "t"


def test_more_rows_than_allowed_are_too_large() -> None:
    with pytest.raises(RequestTooLarge, match="11 rows, at most 10"):
        fed({"inputs": [[1, 2]] * 11})


@pytest.mark.parametrize(
    "inputs",
    [
        ONE,
        TWO,
        (Tensor("t", "object", (-1, 1)),),
        (Tensor("t", "bool", (-1,)),),
        (Tensor("image", "uint8", (-1, 4, 4, 3)),),
    ],
    ids=["one", "two", "text", "bool", "image"],
)
def test_the_synthetic_row_is_a_request_the_model_takes(inputs: tuple[Tensor, ...]) -> None:
    model = Tabular(Engine(inputs), signature=None, max_rows=10)
    assert set(fed(model.synthetic(), inputs)) == {tensor.name for tensor in inputs}
