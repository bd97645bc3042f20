"""MLflow's scoring protocol, as its own server speaks it: `/invocations` with JSON or CSV.

Every mistake of a client is a 400 with MLflow's error codes, but for a content type that nobody
reads. What MLflow's server lets pass in silence (unknown columns, NaN) is refused here too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from registry.errors import MalformedRequest, UnsupportedMediaType
from registry.signature import Column
from serving.problems import Problem
from serving.protocols import Answered, Header
from serving.servable import Servable
from serving.strict_json import is_json, load_object

VERSION = "3.17.2"  # of MLflow, whose protocol this is
_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY
_JSON: Final = {"Content-Type": "application/json"}
_CSV: Final = re.compile(r'text/csv\s*(?:;\s*charset="?utf-?8"?\s*)?', re.IGNORECASE)
_WHOLE: Final = re.compile(r"[+-]?\d{1,19}")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MISSING: Final = frozenset({"", "NA", "NaN", "nan", "null", "None", "<NA>"})
_TRUTH: Final = {"true": True, "false": False}
_WHOLES: Final = ("integer", "long")
_NUMBERS: Final = ("float", "double")
_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    HTTPStatus.TOO_MANY_REQUESTS: "REQUEST_LIMIT_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class MlflowQuestion:
    """JSON in one of MLflow's forms, or the rows of a CSV file under its header."""

    asked: Mapping[str, Any]
    rows: Sequence[Sequence[str]] | None = None
    model: str | None = None

    def body(self, servable: Servable) -> Mapping[str, Any]:
        """The JSON as it came; of a CSV file, values of the types that the signature says."""
        if self.rows is None:
            return self.asked
        names, *rows = self.rows
        types = {c.name: c for c in servable.signature.columns} if servable.signature else {}
        columns = [_typed(types.get(name), cells) for name, cells in _columns(names, rows)]
        data = [list(row) for row in zip(*columns, strict=True)]
        return {"dataframe_split": {"columns": list(names), "data": data}}

    def encode(self, answered: Answered) -> tuple[Mapping[str, str], bytes]:
        """What MLflow's server answers for the same model."""
        body = {"predictions": answered.result["predictions"]}
        return _JSON, orjson.dumps(body, option=_DUMP)


class Mlflow:
    """`POST /invocations`."""

    endpoint: Final = "mlflow"

    def read(self, body: bytes, header: Header) -> MlflowQuestion:
        """See `Protocol.read`."""
        content_type = header("Content-Type")
        if is_json(content_type):
            return MlflowQuestion(load_object(body))
        if content_type and _CSV.fullmatch(content_type):
            return MlflowQuestion({}, _rows(body))
        raise UnsupportedMediaType(
            "This predictor only supports the content types application/json and text/csv, "
            f"in UTF-8. Got {content_type or 'none'}."
        )

    def refuse(self, problem: Problem) -> tuple[int, Mapping[str, str], bytes]:
        """MLflow's error document."""
        status, headers = problem.status, dict(problem.headers)
        if status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            return status.value, {**headers, "Content-Type": "text/plain"}, problem.detail.encode()
        if status not in _CODES:
            status = HTTPStatus.BAD_REQUEST
        body = {"error_code": _CODES.get(status, "BAD_REQUEST"), "message": problem.detail}
        return status.value, {**headers, **_JSON}, orjson.dumps(body)


def _rows(body: bytes) -> list[list[str]]:
    """Header and rows of a CSV file, all of one length."""
    try:
        text = body.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedRequest(f"body: not CSV in UTF-8: {error}") from error
    if not rows:
        raise MalformedRequest("body: expected CSV with a header and rows, got nothing")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(rows[0]):
            raise MalformedRequest(
                f"body: row {number} has {len(row)} values, its header {len(rows[0])} names"
            )
    return rows


def _columns(
    names: Sequence[str], rows: Sequence[Sequence[str]]
) -> Sequence[tuple[str, Sequence[str]]]:
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    return list(zip(names, cells, strict=True))


def _typed(column: Column | None, cells: Sequence[str]) -> Sequence[Any]:
    """A column's values; a text that is not of its type stays a text, for the kind to refuse."""
    if column is None:
        return _guessed(cells)
    return [_value(column.type, cell) for cell in cells]


def _value(wanted: str, text: str) -> Any:
    if text in _MISSING and wanted != "string":
        return None
    if wanted == "boolean":
        return _TRUTH.get(text.lower(), text)
    if (wanted in _WHOLES or wanted in _NUMBERS) and _WHOLE.fullmatch(text):
        return int(text)
    if wanted in _NUMBERS and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _guessed(cells: Sequence[str]) -> Sequence[Any]:
    """Values of a column that no signature tells the type of: the narrowest that fits them all."""
    if all(_WHOLE.fullmatch(cell) for cell in cells):
        return [int(cell) for cell in cells]
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        return [float(cell) for cell in cells]
    if all(cell.lower() in _TRUTH for cell in cells):
        return [_TRUTH[cell.lower()] for cell in cells]
    return cells
