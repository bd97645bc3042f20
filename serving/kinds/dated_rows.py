"""Rows with a date, as requests bring them: read from any envelope, each cell checked and named.

Shared by what forecasts dates and by what takes a history. Refusals name the client's field.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.errors import SignatureMismatch
from registry.signature import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from serving.calendar import Dates

    Rows = Sequence[Mapping[str, object]]

FIRST_YEAR, LAST_YEAR = 1678, 2261  # whole years that nanoseconds can tell

MOST_ROWS: Final = 5000  # of a history: more of them teach nothing about which days are open
_MISSING = object()  # what a row without the cell holds
_DATE: Final = re.compile(
    r"(\d{4})-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_DATE_EXPECTED: Final = "an ISO-8601 date or datetime such as 2026-11-02 or 2026-11-02T06:00:00"


def records(form: str, value: object) -> Rows:
    """A list of objects, one a row."""
    if not isinstance(value, list):
        raise SignatureMismatch(form, expected="a list of rows", got=told(value))
    for i, row in enumerate(value):
        if not isinstance(row, dict):
            expected = 'an object such as {"ds": "2026-11-02"}'
            raise SignatureMismatch(f"{form}[{i}]", expected=expected, got=told(row))
    return value


def _split(form: str, value: object) -> Rows:
    """Rows of pandas' `split`: {"columns": […], "data": [[…], …]}; an index is left out."""
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys():
        expected = 'an object with "columns" and "data"'
        raise SignatureMismatch(form, expected=expected, got=told(value))
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise SignatureMismatch(f"{form}.columns", expected="a list of names", got=told(columns))
    if not isinstance(data, list):
        raise SignatureMismatch(f"{form}.data", expected="a list of rows", got=told(data))
    for i, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            expected = f"a list of {len(columns)} values"
            raise SignatureMismatch(f"{form}.data[{i}]", expected=expected, got=told(row))
    return [dict(zip(columns, row, strict=True)) for row in data]


def _columns(form: str, value: object) -> Rows:
    """MLflow's `inputs`: an object of equally long lists, or a list of objects."""
    if not isinstance(value, dict):
        return records(form, value)
    for name, values in value.items():
        if not isinstance(values, list):
            raise SignatureMismatch(f"{form}.{name}", expected="a list", got=told(values))
    if len({len(values) for values in value.values()}) > 1:
        raise SignatureMismatch(form, expected="lists of one length", got="several lengths")
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


ROWS: dict[str, Callable[[str, object], Rows]] = {
    "future": records,
    "dataframe_split": _split,
    "dataframe_records": records,
    "inputs": _columns,
    "instances": _columns,
}


def refuse_unknown(form: str, rows: Rows, known: set[str]) -> None:
    """Raise SignatureMismatch for the first column that is not known."""
    for i, row in enumerate(rows):
        for name in row:
            if name not in known:
                raise SignatureMismatch(
                    f"{form}[{i}].{name}",
                    expected="one of " + ", ".join(sorted(known)),
                    got="a column this model does not take",
                )


def dates_of(form: str, rows: Rows) -> Dates:
    """The `ds` of each row, without a time zone."""
    texts = [_date(f"{form}[{i}].ds", cell(row, "ds")) for i, row in enumerate(rows)]
    return np.array(texts, dtype="datetime64[ns]")


def _date(field: str, value: object) -> np.datetime64:
    """An ISO-8601 text as nanoseconds; no zone, no other form."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise SignatureMismatch(field, expected=_DATE_EXPECTED, got=told(value))
    if match["zone"]:
        raise SignatureMismatch(
            field,
            expected="a date without a time zone, as the model was trained",
            got=told(value),
            detail="convert it and leave the zone out",
        )
    try:
        return np.datetime64(match[0], "ns")
    except ValueError as fault:
        raise SignatureMismatch(field, expected=_DATE_EXPECTED, got=told(value)) from fault


def cell(row: Mapping[str, object], name: str) -> object:
    """What a row has under a name; told as "nothing" if it has nothing."""
    return row.get(name, _MISSING)


def number_of(field: str, value: object) -> float:
    """A finite number; true and false are none, as in the other kinds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SignatureMismatch(field, expected="a number", got=told(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SignatureMismatch(field, expected="a finite number", got=told(value))
    return number


def flag_of(field: str, value: object) -> bool:
    """True or false, or 1 or 0."""
    if not isinstance(value, int | float) or value not in (0, 1):
        raise SignatureMismatch(field, expected="true or false", got=told(value))
    return bool(value)


def date_texts(dates: Dates) -> list[str]:
    """ISO texts in the coarsest of days, seconds, milli- and nanoseconds that loses nothing."""
    for unit in ("D", "s", "ms"):
        if (dates.astype(f"datetime64[{unit}]") == dates).all():
            return [str(text) for text in np.datetime_as_string(dates, unit=unit).tolist()]
    return [str(text) for text in np.datetime_as_string(dates, unit="ns").tolist()]


def told(value: object) -> str:
    """A client's value in a few words, never more than a line."""
    return "nothing" if value is _MISSING else describe(value)
