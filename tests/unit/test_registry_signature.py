"""Signatures: read from MLflow's files, compared as a client would notice."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from registry.errors import BundleInvalid, SignatureMismatch
from registry.signature import Column, Signature, Tensor, describe

X = Column("x", "double")
NAME = Column("name", "string", required=False)
NOW = Signature((X, NAME), (), ("y",))


def mlmodel(inputs: object, outputs: object = ()) -> dict[str, Any]:
    """A parsed MLmodel file."""
    return {"signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(list(outputs))}}


def test_columns_are_read_with_their_types() -> None:
    inputs = [
        {"name": "x", "type": "double", "required": True},
        {"name": "name", "type": "string", "required": False},
    ]
    read = Signature.from_mlmodel(mlmodel(inputs, [{"name": "y", "type": "double"}]))
    assert read == NOW


def test_tensors_are_read_with_their_shapes() -> None:
    inputs = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
    read = Signature.from_mlmodel(mlmodel(inputs))
    assert read is not None
    assert read.tensors == (Tensor("", "float32", (-1, 4)),)
    assert str(read.tensors[0]) == "float32[-1, 4]"


@pytest.mark.parametrize("mlmodel", [{}, {"signature": None}, {"signature": {"inputs": None}}])
def test_a_version_may_have_none(mlmodel: dict[str, Any]) -> None:
    assert Signature.from_mlmodel(mlmodel) is None


@pytest.mark.parametrize(
    "inputs",
    [
        [{"name": "x", "type": "complex"}],
        [{"name": "x"}],
        [1],
        {"name": "x"},
        [{"type": "tensor", "tensor-spec": {"shape": [-1]}}],
        [
            {"name": "x", "type": "double"},
            {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}},
        ],
    ],
)
def test_a_signature_that_is_none_is_invalid(inputs: object) -> None:
    with pytest.raises(BundleInvalid, match="MLmodel"):
        Signature.from_mlmodel(mlmodel(inputs))


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (NOW, None),
        (Signature((NAME, X), (), ("y",)), None),
        (Signature((X, NAME, Column("new", "long", required=False)), (), ("y", "z")), None),
        (Signature((Column("x", "float"), NAME), (), ("y",)), None),
        (Signature((Column("x", "double", required=False), NAME), (), ("y",)), None),
        (Signature((X, NAME)), None),
        (Signature((X,), (), ("y",)), "column 'name' is gone"),
        (Signature((X, NAME, Column("new", "long")), (), ("y",)), "'new' is newly required"),
        (Signature((Column("x", "long"), NAME), (), ("y",)), "'x' was double and is long"),
        (Signature((X, Column("name", "string")), (), ("y",)), "was optional and is required"),
        (Signature((X, NAME), (), ("z",)), "no longer answers y"),
        (Signature((), (Tensor("", "float32", (-1,)),), ("y",)), "columns and the other tensors"),
    ],
)
def test_columns_may_change_only_as_no_client_notices(
    candidate: Signature, reason: str | None
) -> None:
    reasons = "; ".join(candidate.compatible_with(NOW))
    assert reasons == "" if reason is None else reason in reasons


def test_a_type_may_become_wider_and_never_narrower() -> None:
    for narrow, wide in [("integer", "long"), ("integer", "double"), ("long", "double")]:
        now, then = Signature((Column("x", narrow),)), Signature((Column("x", wide),))
        assert then.compatible_with(now) == ()
        assert now.compatible_with(then)


@pytest.mark.parametrize(
    ("shape", "dtype", "fits"),
    [
        ((-1, 4), "float32", True),
        ((-1, 4), "float64", True),
        ((-1, -1), "float32", True),
        ((1, 4), "float32", False),
        ((-1, 5), "float32", False),
        ((-1, 4, 1), "float32", False),
        ((-1, 4), "int64", False),
    ],
)
def test_a_tensor_may_become_freer(shape: tuple[int, ...], dtype: str, fits: bool) -> None:
    now = Signature((), (Tensor("", "float32", (-1, 4)),))
    then = Signature((), (Tensor("", dtype, shape),))
    assert (then.compatible_with(now) == ()) is fits


def test_a_renamed_tensor_is_noticed() -> None:
    now, then = (Signature((), (Tensor(name, "float32", (-1,)),)) for name in "ab")
    assert "tensors were ['a'] and are ['b']" in then.compatible_with(now)


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        ("double", [1, 2.5], "float64"),
        ("float", [1, 2.5], "float32"),
        ("long", [1, 2**53 + 1], "int64"),
        ("integer", [1], "int32"),
        ("boolean", [True, False], "bool"),
        ("string", ["a", ""], "object"),
        ("datetime", ["2026-01-01", "2026-01-01T10:00:00"], "datetime64[ns]"),
    ],
)
def test_values_become_arrays_of_the_columns_type(kind: str, values: list[Any], dtype: str) -> None:
    array = Column("x", kind).array(values)
    assert array.dtype == np.dtype(dtype)
    if kind != "datetime":
        assert array.tolist() == values


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("double", True),
        ("double", "1"),
        ("double", None),
        ("double", [1]),
        ("long", 1.0),
        ("long", 2**63),
        ("integer", 2**31),
        ("float", 1e39),
        ("boolean", 1),
        ("string", 1),
        ("datetime", "yesterday"),
        ("datetime", 5),
    ],
)
def test_a_value_of_another_type_is_refused_by_field(kind: str, value: object) -> None:
    with pytest.raises(SignatureMismatch, match="price"):
        Column("price", kind).array([value], field="inputs.price")


def test_a_wrong_value_is_named_by_its_row() -> None:
    with pytest.raises(SignatureMismatch, match=r"x\[2\]: expected double, got string \"two\""):
        X.array([0, 1, "two"])


def test_null_is_taken_only_where_it_is_optional() -> None:
    assert np.isnan(Column("x", "double", required=False).array([1.0, None])[1])
    assert NAME.array(["a", None]).tolist() == ["a", None]
    with pytest.raises(SignatureMismatch, match="null"):
        Column("x", "long", required=False).array([None])


def test_an_optional_column_may_be_left_out() -> None:
    assert NAME.missing(2).tolist() == [None, None]
    with pytest.raises(SignatureMismatch, match="x"):
        X.missing(2)


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "null"), (True, "boolean true"), ({"a": 1}, 'object {"a": 1}'), ("x" * 99, "xxx...")],
)
def test_a_value_is_described_in_few_words(value: object, words: str) -> None:
    assert words in describe(value)
    assert len(describe(value)) < 60
