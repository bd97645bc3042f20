"""Requests to a model of columns: the four envelopes, what is refused, and how it is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import (
    BundleInvalid,
    MalformedRequest,
    NotFinite,
    RequestError,
    RequestTooLarge,
    SignatureMismatch,
)
from registry.signature import Column, Signature, Tensor
from serving.kinds.tabular import Tabular

FOUR = tuple(Column(name, "double") for name in "abcd")
MATRIX = (Tensor("X", "float32", (-1, 4)),)


class EchoEngine:
    """Remembers its feed; answers with its inputs, or with what it is given."""

    def __init__(
        self, inputs: tuple[Tensor, ...] = MATRIX, answer: Mapping[str, Any] | None = None
    ) -> None:
        self.inputs = inputs
        self._answer = answer
        self.outputs = tuple(answer or (tensor.name for tensor in inputs))
        self.fed: Mapping[str, Any] = {}

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.fed = inputs
        return self._answer if self._answer is not None else inputs


class OnesEngine(EchoEngine):
    """Answers every row with 1."""

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"y": np.ones(len(next(iter(super().run(inputs).values()))))}


def tabular(
    engine: EchoEngine | None = None, columns: tuple[Column, ...] = FOUR, *, max_rows: int = 100
) -> Tabular:
    return Tabular(engine or EchoEngine(), signature=Signature(columns), max_rows=max_rows)


def fed(
    body: Mapping[str, Any],
    columns: tuple[Column, ...] = FOUR,
    inputs: tuple[Tensor, ...] = MATRIX,
) -> dict[str, list[Any]]:
    """What a request puts into the graph, by input."""
    engine = OnesEngine(inputs)
    tabular(engine, columns).predict(body)
    assert all(array.dtype == t.dtype for t, array in zip(inputs, engine.fed.values(), strict=True))
    return {name: array.tolist() for name, array in engine.fed.items()}


def refusal(body: Mapping[str, Any], model: Tabular | None = None) -> tuple[str, str, str]:
    """Field, expected and got of the mismatch that a request raises."""
    with pytest.raises(SignatureMismatch) as caught:
        (model or tabular()).predict(body)
    return caught.value.field, caught.value.expected, caught.value.got


ROWS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
RECORDS = [dict(zip("abcd", row, strict=True)) for row in ROWS]
FORMS: Mapping[str, Mapping[str, Any]] = {
    "dataframe_split": {"dataframe_split": {"columns": list("abcd"), "data": ROWS}},
    "dataframe_split with an index": {
        "dataframe_split": {"columns": list("abcd"), "data": ROWS, "index": [7, 8]}
    },
    "dataframe_split in another order": {
        "dataframe_split": {"columns": list("dcba"), "data": [row[::-1] for row in ROWS]}
    },
    "dataframe_records": {"dataframe_records": RECORDS},
    "dataframe_records in another order": {
        "dataframe_records": [dict(reversed(record.items())) for record in RECORDS]
    },
    "inputs by column": {"inputs": {name: [r[name] for r in RECORDS] for name in "dbca"}},
    "inputs by position": {"inputs": ROWS},
    "instances by record": {"instances": RECORDS},
    "instances by position": {"instances": ROWS},
    "empty params beside it": {"instances": ROWS, "params": {}},
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_every_envelope_reaches_the_graph_in_the_signatures_order(body: Mapping[str, Any]) -> None:
    assert fed(body) == {"X": ROWS}


def test_whole_numbers_are_fine_doubles_and_a_scalar_column_is_one_row() -> None:
    assert fed({"inputs": {"a": 1, "b": 2, "c": 3, "d": 4}}) == {"X": [[1.0, 2.0, 3.0, 4.0]]}


NOT_ONE = {
    "none": {},
    "two": {"inputs": ROWS, "instances": ROWS},
    "only params": {"params": {}},
    "something else": {"data": ROWS},
}


@pytest.mark.parametrize("body", NOT_ONE.values(), ids=NOT_ONE)
def test_anything_but_exactly_one_envelope_is_malformed(body: Mapping[str, Any]) -> None:
    with pytest.raises(MalformedRequest, match="expected exactly one of dataframe_split, "):
        tabular().predict(body)


def _records(**changes: Any) -> Mapping[str, Any]:
    """Two good records, the second with changes."""
    return {"dataframe_records": [RECORDS[0], {**RECORDS[1], **changes}]}


REFUSED: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "a text": (_records(b="x"), "b[1]", 'string "x"'),
    "a boolean, which is no number": (_records(c=True), "c[1]", "boolean true"),
    "null": (_records(a=None), "a[1]", "null"),
    "a list": (_records(d=[1]), "d[1]", "array [1]"),
    "an object": (_records(d={}), "d[1]", "object {}"),
    "a number beyond float32": (_records(d=1e300), "d[1]", "a number beyond its range"),
    "a column in one record only": (_records(e=1.0), "dataframe_records[1]", ""),
    "an unknown column": ({"inputs": {**{n: [1] for n in "abcd"}, "e": [1]}}, "e", "an unknown"),
    "a missing column": ({"inputs": {name: [1.0] for name in "abc"}}, "d", "nothing"),
    "columns of unlike length": (
        {"inputs": {"a": [1], "b": [1, 2], "c": [1], "d": [1]}},
        "inputs.b",
        "2 values",
    ),
    "a ragged row": ({"instances": [ROWS[0], [1, 2]]}, "instances[1]", "2 values"),
    "a row that is a number": ({"instances": [ROWS[0], 7]}, "instances[1]", "integer 7"),
    "a record after rows": ({"instances": [ROWS[0], RECORDS[0]]}, "instances[1]", "object"),
    "a row after records": ({"instances": [RECORDS[0], ROWS[0]]}, "instances[1]", "array"),
    "no rows": ({"instances": []}, "instances", "none"),
    "no data": (
        {"dataframe_split": {"columns": list("abcd"), "data": []}},
        "dataframe_split",
        "none",
    ),
    "empty columns": ({"inputs": {name: [] for name in "abcd"}}, "inputs", "none"),
    "no columns": ({"inputs": {}}, "inputs", "none"),
    "data that is no list": (
        {"dataframe_split": {"columns": list("abcd"), "data": 5}},
        "dataframe_split.data",
        "integer 5",
    ),
    "no column names": ({"dataframe_split": {"data": ROWS}}, "dataframe_split.columns", "null"),
    "the same column twice": (
        {"dataframe_split": {"columns": list("abcc"), "data": ROWS}},
        "dataframe_split.columns",
        "array",
    ),
    "column names that are objects": (
        {"dataframe_split": {"columns": [{}, [], "c", "d"], "data": ROWS}},
        "dataframe_split.columns",
        "array",
    ),
    "a split that is a list": ({"dataframe_split": ROWS}, "dataframe_split", "array"),
    "records that are a text": ({"dataframe_records": "x"}, "dataframe_records", "string"),
    "rows that are a number": ({"instances": 5}, "instances", "integer 5"),
    "another key beside it": ({"instances": ROWS, "horizon": 3}, "horizon", "an unknown key"),
    "params": ({"instances": ROWS, "params": {"k": 1}}, "params.k", "an unknown param"),
    "params that are none": ({"instances": ROWS, "params": [1]}, "params", "array [1]"),
}


@pytest.mark.parametrize(("body", "field", "got"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(
    body: Mapping[str, Any], field: str, got: str
) -> None:
    found = refusal(body)
    assert (found[0], found[2][: len(got)]) == (field, got)
    assert found[1]


def test_an_unknown_column_is_left_out_where_that_is_asked_for() -> None:
    body = {"dataframe_records": [{**dict.fromkeys("abcd", 1.0), "e": "x"}]}
    with pytest.raises(SignatureMismatch, match="e: expected one of a, b, c, d"):
        tabular().predict(body)
    lenient = Tabular(EchoEngine(), signature=Signature(FOUR), max_rows=100, ignore_unknown=True)
    known = {"dataframe_records": [dict.fromkeys("abcd", 1.0)]}
    assert repr(lenient.predict(body)) == repr(tabular().predict(known))


def test_as_many_rows_as_allowed_are_answered_and_one_more_is_too_large() -> None:
    assert len(tabular(max_rows=2).predict({"instances": ROWS})["predictions"]) == 2
    with pytest.raises(RequestTooLarge, match="instances: 2 rows, at most 1"):
        tabular(max_rows=1).predict({"instances": ROWS})


TWO_INPUTS = (Tensor("a", "float32", (-1, 1)), Tensor("b", "int32", (-1,)))
TWO = (Column("b", "long"), Column("a", "double"))


def test_columns_reach_inputs_of_their_own_by_name() -> None:
    assert fed({"inputs": {"a": [1.5], "b": [2]}}, TWO, TWO_INPUTS) == {"a": [[1.5]], "b": [2]}


@pytest.mark.parametrize(
    ("row", "field"),
    [({"a": [1.0, 1e300], "b": [1, 1]}, "a"), ({"a": [0, 0], "b": [1, 2**40]}, "b")],
)
def test_a_number_that_the_graphs_narrower_type_cannot_hold_is_refused(
    row: Mapping[str, Any], field: str
) -> None:
    model = tabular(EchoEngine(TWO_INPUTS), TWO)
    assert refusal({"inputs": row}, model)[0] == f"{field}[1]"


def test_a_single_column_fits_a_matrix_of_one_and_an_input_of_its_name() -> None:
    one = (Column("x", "double"),)
    body = {"inputs": {"x": [1, 2]}}
    assert fed(body, one, (Tensor("x", "float32", (-1, 1)),)) == {"x": [[1.0], [2.0]]}
    assert fed(body, one, (Tensor("other", "float32", (-1, 1)),)) == {"other": [[1.0], [2.0]]}
    assert fed(body, one, (Tensor("x", "float32", (-1,)),)) == {"x": [1.0, 2.0]}


def test_string_columns_reach_the_graph_as_texts() -> None:
    columns = (Column("city", "string"), Column("n", "double"))
    inputs = (Tensor("city", "object", (-1, 1)), Tensor("n", "float32", (-1, 1)))
    body = {"dataframe_records": [{"n": 1, "city": "São Paulo"}]}
    assert fed(body, columns, inputs) == {"city": [["São Paulo"]], "n": [[1.0]]}
    found = refusal({"inputs": {"city": [5], "n": [1]}}, tabular(EchoEngine(inputs), columns))
    assert found == ("city[0]", "string", "integer 5")


@pytest.mark.parametrize("kind", ["double", "float"])
@pytest.mark.parametrize("values", [{"b": [None]}, {}], ids=["null", "no such column"])
def test_an_optional_column_that_is_not_there_is_missing_to_the_model(
    kind: str, values: Mapping[str, Any]
) -> None:
    columns = (Column("a", kind), Column("b", kind, required=False))
    [[a, b]] = fed({"inputs": {"a": [1], **values}}, columns, (Tensor("X", "float32", (-1, 2)),))[
        "X"
    ]
    assert a == 1
    assert np.isnan(b)


def test_an_optional_whole_number_has_no_missing_value_and_is_asked_for() -> None:
    model = tabular(
        EchoEngine((Tensor("n", "int64", (-1,)),)), (Column("n", "long", required=False),)
    )
    assert refusal({"inputs": {"n": [None]}}, model) == ("n[0]", "long", "null")


def test_a_signature_whose_columns_the_graph_does_not_know_is_refused_at_load() -> None:
    with pytest.raises(BundleInvalid, match="do not fit the signature's columns"):
        tabular(EchoEngine((*TWO_INPUTS, Tensor("z", "float32", (-1,)))), FOUR)


def test_the_first_output_is_the_prediction_and_others_stand_beside_it() -> None:
    answer = {
        "label": np.array([1, 0]),
        "probabilities": np.array([[0.25, 0.75], [1, 0]], np.float32),
    }
    assert _json(tabular(EchoEngine(answer=answer)).predict({"instances": ROWS})) == {
        "predictions": [1, 0],
        "outputs": {"probabilities": [[0.25, 0.75], [1.0, 0.0]]},
    }


def test_probabilities_that_come_as_mappings_keep_their_labels() -> None:
    answer = {"label": np.array(["x"]), "p": [{"x": 0.75, 1: 0.25}]}
    assert _json(tabular(EchoEngine(answer=answer)).predict({"instances": ROWS[:1]})) == {
        "predictions": ["x"],
        "outputs": {"p": [{"x": 0.75, "1": 0.25}]},
    }


BAD = {
    "NaN": {"y": np.array([[1.0], [np.nan]])},
    "infinite": {"y": np.array([-np.inf], np.float32)},
    "half precision": {"y": np.array([np.inf], np.float16)},
    "NaN in a second output": {"y": np.array([1]), "p": np.array([np.nan])},
    "NaN in a mapping": {"y": np.array([1]), "p": [{"a": 0.5, "b": float("nan")}]},
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_an_answer_that_is_not_finite_is_never_given(answer: Mapping[str, Any]) -> None:
    with pytest.raises(NotFinite, match="the model answered NaN or Infinity"):
        tabular(EchoEngine(answer=answer)).predict({"instances": ROWS})


def test_the_synthetic_row_is_a_request_the_model_takes() -> None:
    columns = (Column("a", "double"), Column("b", "long"), Column("c", "boolean"))
    inputs = (
        Tensor("a", "float32", (-1, 1)),
        Tensor("b", "int64", (-1, 1)),
        Tensor("c", "bool", (-1,)),
    )
    model = tabular(EchoEngine(inputs), columns)
    assert fed(model.synthetic(), columns, inputs) == {"a": [[1.0]], "b": [[1]], "c": [False]}


def _json(answer: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(answer, default=lambda array: array.tolist()))


_CELLS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**400), 10**400),
    st.none(),
    st.booleans(),
    st.text(max_size=2),
    st.lists(st.floats(0, 1), max_size=2),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["inputs", "dataframe_split"])
@settings(deadline=None)
@given(data=st.data())
def test_rows_taken_at_once_are_those_taken_by_column(
    form: str, dtype: str, data: st.DataObject
) -> None:
    odd = data.draw(st.booleans())
    cells = _CELLS if odd else st.floats(-1e300, 1e300) | st.integers(-(2**70), 2**70)
    rows = data.draw(st.lists(st.lists(cells, min_size=4 - odd, max_size=4), max_size=4))
    value = {"columns": list("abcd"), "data": rows} if form == "dataframe_split" else rows
    inputs = (Tensor("X", dtype, (-1, 4)),)
    at_once, by_column = EchoEngine(inputs), EchoEngine(inputs)
    quick, slow = tabular(at_once), tabular(by_column)
    slow._is_plain = False

    def told(model: Tabular) -> object:
        try:
            return model.predict({form: value})["predictions"].tolist()
        except RequestError as error:
            return type(error), str(error)

    assert told(quick) == told(slow)


def test_plain_rows_are_taken_at_once() -> None:
    model = tabular()
    for form, value in (
        ("inputs", ROWS),
        ("instances", [[1, 2, 3, 4]]),
        ("dataframe_split", {"columns": list("abcd"), "data": ROWS}),
    ):
        assert model._at_once(form, value) is not None
    whole = tuple(Column(name, "long") for name in "abcd")
    assert tabular(columns=whole)._at_once("inputs", [[1.5, 2, 3, 4]]) is None
