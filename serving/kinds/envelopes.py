"""MLflow's envelopes: `dataframe_split`, `dataframe_records`, `inputs`, `instances`, exactly one.

What is in one becomes names and columns of JSON values; nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from registry.errors import MalformedRequest, SignatureMismatch
from registry.signature import describe

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
Table = tuple[Sequence[str], Sequence[Sequence[Any]], int]  # names, columns, number of rows


def form(body: Mapping[str, Any], known: Sequence[str] = FORMS) -> str:
    """The one envelope of a request; `known` are those that its kind takes."""
    forms = [key for key in body if key in known]
    unknown = [key for key in body if key not in known and key != "params"]
    if len(forms) != 1:
        got = " and ".join(forms) or (f"only {', '.join(unknown)}" if unknown else "none of them")
        raise MalformedRequest(f"expected exactly one of {', '.join(known)}, got {got}")
    if unknown:
        raise SignatureMismatch(unknown[0], expected=f"only {forms[0]}", got="an unknown key")
    return forms[0]


def table(form: str, value: Any, order: Sequence[str]) -> Table:
    """Column names, columns and the number of rows of any envelope."""
    if form == "dataframe_split":
        split = mapping(form, value)
        names = split.get("columns")
        if not _are_names(names):
            raise SignatureMismatch(
                f"{form}.columns", expected="distinct names", got=describe(names)
            )
        return _by_position(f"{form}.data", split.get("data"), names)
    if isinstance(value, dict):
        return _by_column(form, value)
    if isinstance(value, list) and value and not isinstance(value[0], dict):
        return _by_position(form, value, order)
    return by_record(form, value)


def in_order(form: str, value: Any, order: Sequence[str]) -> list[list[Any]] | None:
    """The rows as they came, if they are lists of exactly these columns in exactly this order."""
    if form == "dataframe_split":
        if not isinstance(value, dict) or value.get("columns") != list(order):
            return None
        value = value.get("data")
    if not isinstance(value, list) or set(map(type, value)) != {list}:
        return None
    return value if set(map(len, value)) == {len(order)} else None


def by_record(field: str, rows: Any) -> Table:
    """A list of objects that all have the same keys."""
    if not isinstance(rows, list):
        raise SignatureMismatch(field, expected="a list of records", got=describe(rows))
    if not rows:
        return (), (), 0
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != rows[0].keys():
            raise SignatureMismatch(
                f"{field}[{number}]", expected="the columns of the first record", got=describe(row)
            )
    names = list(rows[0])
    return names, [[row[name] for row in rows] for name in names], len(rows)


def _by_position(field: str, rows: Any, names: Sequence[str]) -> Table:
    if not isinstance(rows, list):
        raise SignatureMismatch(field, expected="a list of rows", got=describe(rows))
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            got = f"{len(row)} values" if isinstance(row, list) else describe(row)
            raise SignatureMismatch(f"{field}[{number}]", expected=f"{len(names)} values", got=got)
    return names, list(zip(*rows, strict=True)) if rows else [()] * len(names), len(rows)


def _by_column(field: str, value: Mapping[str, Any]) -> Table:
    columns = [v if isinstance(v, list) else [v] for v in value.values()]
    rows = len(columns[0]) if columns else 0
    for name, column in zip(value, columns, strict=True):
        if len(column) != rows:
            raise SignatureMismatch(
                f"{field}.{name}", expected=f"{rows} values", got=f"{len(column)} values"
            )
    return list(value), columns, rows


def mapping(field: str, value: Any) -> Mapping[str, Any]:
    """`value` if it is an object; SignatureMismatch otherwise."""
    if not isinstance(value, dict):
        raise SignatureMismatch(field, expected="an object", got=describe(value))
    return value


def _are_names(names: Any) -> TypeGuard[list[str]]:
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return texts and len(set(names)) == len(names)
