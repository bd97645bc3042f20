"""Records as rows of the prediction log's tables, and as lines for PostgreSQL's COPY."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
import sqlalchemy as sa

from registry import predictions_tables as tables
from registry.predictions import Prediction

Row = tuple[Any, ...]
_COLUMNS: Final = tuple(tables.predictions.c.keys())
_NUL, _INSTEAD = "\x00", "\N{REPLACEMENT CHARACTER}"
_LONGEST_REFUSED: Final = 1024 * 1024
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
# What `to_row` raises; the last one is of a time that is no day.
NOT_A_ROW: Final = (TypeError, ValueError, OverflowError, AttributeError, OSError)


def to_row(record: Prediction) -> Row:
    """A record as it is inserted, in the order of the table's columns; the day as text.

    Texts and JSON lose their NULs, which PostgreSQL takes in neither. Raises one of NOT_A_ROW for
    what is no record: a text that is a number, a time that is no day.
    """
    return (
        _text(record.prediction_id),
        _day(record.time),
        _text(record.request_id),
        _text(record.attempt_of),
        float(record.time),
        _text(record.model),
        _text(record.version),
        _whole(record.epoch),
        _whole(record.seq),
        _text(record.digest),
        _text(record.arm),
        _text(record.endpoint),
        _text(record.method),
        _text(record.key_id),
        operator.index(record.status),
        _text(record.error),
        _finite(record.latency_ms),
        operator.index(record.rows),
        _json(record.inputs),
        _json(record.outputs),
        _known(record.confidence),
        _known(record.last_known_price),
        _whole(record.data_points),
    )


def to_record(row: sa.Row[Any]) -> Prediction:
    """The reverse, of all the columns that this code knows, in their order."""
    values = dict(zip(_COLUMNS, row, strict=True))
    del values["day"]
    return Prediction(**values)


def to_refused(record: Prediction, reason: str, at_ms: int) -> dict[str, Any]:
    """A record that cannot be a row, as a row for people to look at."""
    body = json.dumps(_plain(record), default=repr)
    return {
        "id": hashlib.sha256(body.encode()).hexdigest(),
        "at_ms": at_ms,
        "reason": reason.replace(_NUL, _INSTEAD)[:2_000],
        "body": body[:_LONGEST_REFUSED],
    }


def copy_lines(rows: Iterable[Row]) -> bytes:
    """Rows in the text format of COPY."""
    return "".join(["\t".join([_cell(value) for value in row]) + "\n" for row in rows]).encode()


def _cell(value: Any) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES) if _must_be_escaped(value) else value
    return repr(value)


def _must_be_escaped(text: str) -> bool:
    return "\\" in text or "\n" in text or "\t" in text or "\r" in text


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.80}")
    if value.isascii():
        return value.replace(_NUL, _INSTEAD) if _NUL in value else value
    value.encode()  # half a character is none
    return value.replace(_NUL, _INSTEAD)


def _day(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).date().isoformat()


def _whole(value: int | None) -> int | None:
    return None if value is None else operator.index(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return float(value)


def _known(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _json(value: Mapping[str, Any]) -> str:
    """As JSON, NaN and Infinity as null."""
    if not isinstance(value, Mapping):
        raise TypeError(f"expected columns by name, got {value!r:.80}")
    text = orjson.dumps(value).decode()
    # Also found where a text has these six characters itself: then cleaning changes nothing.
    return orjson.dumps(_clean(value)).decode() if r"\u0000" in text else text


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_NUL, _INSTEAD)
    if isinstance(value, Mapping):
        return {_clean(name): _clean(one) for name, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(record: Prediction) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
