"""Columns of a table become what a request's JSON would become, or the row that cannot is named."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import SignatureMismatch
from registry.signature import Column
from serving.batch.columns import array_of

FIRST = 101


def refused(column: Column, values: pa.Array) -> str:
    with pytest.raises(SignatureMismatch) as caught:
        array_of(column, values, FIRST)
    return str(caught.value)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_whole_numbers_are_fine_doubles_as_in_json(values: list[int]):
    column = Column("x", "double")
    np.testing.assert_array_equal(array_of(column, pa.array(values), 1), column.array(values))


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1))
@pytest.mark.parametrize("kind", ["double", "float"])
def test_numbers_become_the_same_bits_or_are_refused_as_in_json(kind: str, values: list[float]):
    column = Column("x", kind)
    try:
        expected = column.array(values)
    except SignatureMismatch:
        refused(column, pa.array(values))
        return
    got = array_of(column, pa.array(values), 1)
    assert (got.dtype, got.tobytes()) == (expected.dtype, expected.tobytes())


@pytest.mark.parametrize("kind", ["integer", "long", "boolean", "string", "datetime"])
def test_every_type_is_taken_as_it_is(kind: str):
    values, expected = {
        "integer": (pa.array([1, 2], pa.int8()), np.array([1, 2], np.int32)),
        "long": (pa.array([1, 2], pa.uint32()), np.array([1, 2], np.int64)),
        "boolean": (pa.array([True, False]), np.array([True, False])),
        "string": (pa.array(["a", "b"]).dictionary_encode(), np.array(["a", "b"], object)),
        "datetime": (
            pa.array([datetime.date(2026, 1, 2)] * 2),
            np.array(["2026-01-02"] * 2, "datetime64[ns]"),
        ),
    }[kind]
    got = array_of(Column("x", kind), values, 1)
    assert got.dtype == expected.dtype
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("double", pa.array([1.0, None]), "row 102, column x: expected a finite double, got null"),
        ("double", pa.array([1.0, np.nan]), "row 102, column x: expected a finite double, got nan"),
        ("float", pa.array([1e300]), "row 101, column x: expected a finite float, got 1e+300"),
        ("double", pa.array([True]), "column x: expected double, got a column of bool"),
        ("long", pa.array([1.0]), "column x: expected long, got a column of double"),
        ("integer", pa.array([0, 2**40]), "row 102, column x: expected integer, got 1099511627776"),
        ("long", pa.array([1, None]), "row 102, column x: expected long, got null"),
        ("long", pa.array([2**63], pa.uint64()), "row 101, column x: expected long"),
        ("string", pa.array(["a", None]), "row 102, column x: expected string, got null"),
    ],
)
def test_what_does_not_fit_is_named_by_row_and_column(kind: str, values: pa.Array, told: str):
    assert told in refused(Column("x", kind), values)


def test_what_may_be_missing_is_missing():
    optional = Column("x", "double", required=False)
    got = array_of(optional, pa.array([1, None, 3]), 1)
    np.testing.assert_array_equal(got, [1.0, np.nan, 3.0])
    assert array_of(Column("x", "string", required=False), pa.array(["a", None]), 1)[1] is None
    assert "row 101" in refused(optional, pa.array([np.inf]))
