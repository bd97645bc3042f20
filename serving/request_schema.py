"""What a model takes, as JSON Schema (2020-12): made of its signature, for people and generators.

A body that fits may still be refused (rows of unlike length, dates that no calendar has); one that
does not fit always is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from registry.params import Param
from registry.signature import Column, Signature, Tensor
from serving.kinds.dated_rows import MOST_ROWS

Schema = dict[str, Any]
_COLUMN: Final[Mapping[str, Schema]] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "string": {"type": "string"},
    "binary": {"type": "string"},
    "datetime": {"type": "string", "examples": ["2026-11-02", "2026-11-02T06:00:00"]},
}
_MAY_BE_NULL: Final = frozenset({"float", "double", "string", "binary"})
_NUMPY: Final = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
_HORIZONS: Final = ("horizon", "days")
FILE: Final[Schema] = {"type": "string", "format": "binary"}


def request_schema(
    kind: str,
    signature: Signature,
    params: Sequence[Param] = (),
    *,
    history: Sequence[str] = (),
    most_rows: int,
    most_steps: int,
) -> Schema:
    """The JSON Schema of a request body; `history` are the columns of rows it may bring."""
    if kind == "forecast":
        return _with_history(history, _forecast(signature, most_steps))
    if kind == "image":
        return _image(signature.columns[0].name, most_rows)
    return _with(params, _tabular(signature, most_rows))


def form_schema(fields: Sequence[str], most_rows: int) -> Schema:
    """The JSON Schema of a form with pictures, under one of these names."""
    files = {"type": "array", "minItems": 1, "maxItems": most_rows, "items": FILE}
    return {
        "type": "object",
        "properties": {**dict.fromkeys(fields, files), "model": {"type": "string"}},
        "anyOf": [{"required": [name]} for name in fields],
    }


def _tabular(signature: Signature, most_rows: int) -> Schema:
    if signature.columns:
        records = _records(signature.columns, most_rows)
        cells: Schema = {"type": "array", "items": {}}
        forms = {
            "dataframe_records": records,
            "dataframe_split": _split(signature.columns, most_rows),
            "inputs": {"anyOf": [_arrays(signature.columns, most_rows), records]},
            "instances": {
                "anyOf": [
                    records,
                    {"type": "array", "minItems": 1, "maxItems": most_rows, "items": cells},
                ]
            },
        }
        return _exactly_one(forms)
    named = {
        "type": "object",
        "properties": {tensor.name: _tensor(tensor) for tensor in signature.tensors},
        "required": [tensor.name for tensor in signature.tensors],
        "additionalProperties": False,
    }
    alone = [_tensor(signature.tensors[0])] if len(signature.tensors) == 1 else []
    either = {"anyOf": [*alone, named]}
    return _exactly_one({"inputs": either, "instances": either})


def _forecast(signature: Signature, most_steps: int) -> Schema:
    steps = {"type": "integer", "minimum": 1, "maximum": most_steps}
    forms: dict[str, Schema] = {"future": _records(signature.columns, most_steps)}
    if len(signature.columns) == 1:
        forms |= dict.fromkeys(_HORIZONS, steps)
    return _exactly_one(forms)


def _with_history(columns: Sequence[str], schema: Schema) -> Schema:
    """The same where rows to forecast from may stand beside each form."""
    if columns:
        cells = [Column("ds", "datetime"), *(Column(name, "double") for name in columns)]
        rows = _records(cells, MOST_ROWS)
        for form in schema["oneOf"]:
            form["properties"]["history"] = rows
    return schema


def _image(name: str, most_rows: int) -> Schema:
    text: Schema = {"type": "string", "contentEncoding": "base64", "minLength": 1}
    picture: Schema = {"anyOf": [text, _only("b64", text)]}
    many: Schema = {"type": "array", "minItems": 1, "maxItems": most_rows}
    record = _only(name, picture)
    row: Schema = {"type": "array", "minItems": 1, "maxItems": 1, "items": picture}
    rows: Schema = {**many, "items": {"anyOf": [picture, record, row]}}
    column = _only(name, {"anyOf": [picture, {**many, "items": picture}]})
    return _exactly_one(
        {
            name: picture,
            "instances": {"anyOf": [rows, column]},
            "inputs": {"anyOf": [rows, column]},
            "dataframe_records": {**many, "items": record},
            "dataframe_split": _split([Column(name, "binary")], most_rows),
        }
    )


def _with(params: Sequence[Param], schema: Schema) -> Schema:
    """The same where params may stand beside each form."""
    if params:
        said = {
            "type": "object",
            "properties": {param.name: _param(param) for param in params},
            "additionalProperties": False,
        }
        for form in schema["oneOf"]:
            form["properties"]["params"] = said
    return schema


def _param(param: Param) -> Schema:
    value = dict(_COLUMN[param.type])
    schema: Schema = {"type": "array", "items": value} if param.many else value
    return {**schema, "default": param.default}


def _only(name: str, schema: Schema) -> Schema:
    """An object with this member and no other."""
    return {
        "type": "object",
        "properties": {name: schema},
        "required": [name],
        "additionalProperties": False,
    }


def _exactly_one(forms: Mapping[str, Schema]) -> Schema:
    """An object with one of these members, which may name its model."""
    return {"oneOf": [{"title": name, **_only(name, schema)} for name, schema in forms.items()]}


def _records(columns: Sequence[Column], most_rows: int) -> Schema:
    row = {
        "type": "object",
        "properties": {column.name: _cell(column) for column in columns},
        "required": [column.name for column in columns if column.required],
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1, "maxItems": most_rows, "items": row}


def _split(columns: Sequence[Column], most_rows: int) -> Schema:
    names = [column.name for column in columns]
    rows = {"type": "array", "minItems": 1, "maxItems": most_rows}
    return {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"enum": names}, "uniqueItems": True},
            "index": {"type": "array"},
            "data": {**rows, "items": {"type": "array", "items": {}}},
        },
        "required": ["columns", "data"],
    }


def _arrays(columns: Sequence[Column], most_rows: int) -> Schema:
    return {
        "type": "object",
        "properties": {
            column.name: {
                "type": "array",
                "minItems": 1,
                "maxItems": most_rows,
                "items": _cell(column),
            }
            for column in columns
        },
        "required": [column.name for column in columns if column.required],
        "additionalProperties": False,
    }


def _cell(column: Column) -> Schema:
    schema = dict(_COLUMN[column.type])
    if not column.required and column.type in _MAY_BE_NULL:
        schema["type"] = [schema["type"], "null"]
    return schema


def _tensor(tensor: Tensor) -> Schema:
    """Nested arrays; a free dimension has any size."""
    schema: Schema = {"type": _NUMPY.get(np.dtype(tensor.dtype).kind, "string")}
    for size in reversed(tensor.shape):
        bounds = {} if size == -1 else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **bounds}
    return schema
