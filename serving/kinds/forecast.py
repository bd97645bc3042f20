"""The forecast kind: a horizon or future rows in, dated predictions out.

    {"horizon": 30}                                      the next 30 dates of the model's calendar
    {"days": 30}                                         the same
    {"future": [{"ds": "2026-11-02", "cap": 9.5}, …]}    these dates, with what the model needs

MLflow's envelopes with a `ds` column are read as future rows; columns that the model does not need
are left out there, as MLflow does. Knows no model format: an engine evaluates. Called by the
servable with the decoded JSON body; errors are the client's (`RequestError`).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from registry.errors import MalformedRequest, RequestTooLarge, SignatureMismatch
from registry.signature import Column, Signature, describe
from serving.kinds.finite import refuse_non_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from registry.params import Param
    from serving.calendar import Calendar, Dates

    Rows = Sequence[Mapping[str, object]]

OUTPUTS = ("yhat", "yhat_lower", "yhat_upper")
HORIZONS = ("horizon", "days")
_TYPES: Mapping[type, str] = {float: "double", bool: "boolean"}
FIRST_YEAR, LAST_YEAR = 1678, 2261  # whole years that nanoseconds can tell

_MISSING = object()  # what a row without the cell holds
_DATE = re.compile(
    r"(\d{4})-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_DATE_EXPECTED = "an ISO-8601 date or datetime such as 2026-11-02 or 2026-11-02T06:00:00"


class ForecastEngine(Protocol):
    """What this kind needs of an engine."""

    @property
    def calendar(self) -> Calendar:
        """The last training date and the step from there on."""

    @property
    def required(self) -> Mapping[str, type]:
        """Columns every date needs besides `ds`: name to `float` or `bool`."""

    @property
    def example(self) -> Mapping[str, float | bool]:
        """A value for each required column that the model has seen together."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float64]]:
        """`ds` (datetime64[ns], [n]) and the required columns to `yhat` …, float64 [n] each."""


class Forecast:
    """Decodes requests for one forecast engine and encodes its answers."""

    def __init__(self, engine: ForecastEngine, *, max_horizon: int) -> None:
        """`max_horizon` is the most dates one request may ask for."""
        self._engine = engine
        self._max_horizon = max_horizon
        self.params: Sequence[Param] = ()
        self.signature = Signature(
            columns=(
                Column("ds", "datetime"),
                *(Column(name, _TYPES[kind]) for name, kind in engine.required.items()),
            ),
            outputs=("ds", *OUTPUTS),
        )

    def predict(self, body: Mapping[str, object]) -> dict[str, object]:
        """Answer a decoded JSON object: `{"predictions": [{"ds": …, "yhat": …, …}, …]}`.

        `ds` is a date where all are at midnight, else a datetime; rows keep the request's order.
        Raises MalformedRequest for none or several of the forms, SignatureMismatch for anything
        that does not fit the model, RequestTooLarge for too many future rows, NotFinite where the
        model answers NaN or Infinity.
        """
        form = _form(body)
        inputs = self._horizon(form, body[form]) if form in HORIZONS else self._rows(form, body)
        outputs = self._engine.run(inputs)
        columns: dict[str, list[Any]] = {"ds": _texts(inputs["ds"])}
        for name in OUTPUTS:
            if name in outputs:
                refuse_non_finite(name, outputs[name])
                columns[name] = outputs[name].tolist()
        rows = zip(*columns.values(), strict=True)
        return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Dates and forecasts, one column each."""
        rows = answer["predictions"]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def repeat(self, body: Mapping[str, object]) -> None:
        """Dates are asked for once each, and the engine's shapes are our own: nothing to try."""

    def synthetic(self) -> Mapping[str, Any]:
        """The next date; with the last training values where the model needs any."""
        if not self._engine.required:
            return {"horizon": 1}
        ds = _texts(self._engine.calendar.after(1))[0]
        return {"future": [{"ds": ds, **self._engine.example}]}

    def _horizon(self, field: str, asked: object) -> dict[str, NDArray[Any]]:
        """The next `asked` dates; only for models that need nothing but dates."""
        expected = f"an integer from 1 to {self._max_horizon}"
        whole = isinstance(asked, int) and not isinstance(asked, bool)
        if not whole or not 1 <= asked <= self._max_horizon:  # type: ignore[operator]
            raise SignatureMismatch(field, expected=expected, got=_told(asked))
        name = next(iter(self._engine.required), None)
        if name is not None:
            rows = f'send {{"future": [{{"ds": "2026-11-02", "{name}": …}}, …]}}'
            raise SignatureMismatch(
                name, expected="a value for each future date", got=f"only a {field}", detail=rows
            )
        try:
            return {"ds": self._engine.calendar.after(int(asked))}  # type: ignore[call-overload]
        except OverflowError as fault:
            raise SignatureMismatch(
                field, expected="dates that can be told", got=_told(asked), detail=str(fault)
            ) from fault

    def _rows(self, form: str, body: Mapping[str, object]) -> dict[str, NDArray[Any]]:
        """The columns of future rows, in their order."""
        rows = _ROWS[form](form, body[form])
        if not rows:
            raise SignatureMismatch(form, expected="at least one row", got="none")
        if len(rows) > self._max_horizon:
            msg = f"{form}: {len(rows)} rows are over the limit of {self._max_horizon}; send fewer"
            raise RequestTooLarge(msg)
        required = self._engine.required
        if form == "future":
            _refuse_unknown(rows, {"ds", *required})
        inputs: dict[str, NDArray[Any]] = {"ds": _dates(form, rows)}
        for name, kind in required.items():
            cell = _flag if kind is bool else _number
            values = [cell(f"{form}[{i}].{name}", _cell(row, name)) for i, row in enumerate(rows)]
            inputs[name] = np.array(values, dtype=kind)
        return inputs


def _form(body: Mapping[str, object]) -> str:
    """The one key of `body` that says what is asked."""
    forms = (*HORIZONS, *_ROWS)
    for key, value in body.items():
        if key == "history":
            raise SignatureMismatch(
                key,
                expected="no history",
                got=_told(value),
                detail=("this model forecasts from what it was trained on and takes none"),
            )
        if key not in forms and not (key == "params" and not value):
            raise SignatureMismatch(
                key, expected="one of " + ", ".join(forms), got="an unknown key"
            )
    asked = [key for key in forms if key in body]
    if len(asked) != 1:
        msg = f"expected exactly one of {', '.join(forms)}, got {' and '.join(asked) or 'none'}"
        raise MalformedRequest(msg)
    return asked[0]


def _records(form: str, value: object) -> Rows:
    """A list of objects, one a row."""
    if not isinstance(value, list):
        raise SignatureMismatch(form, expected="a list of rows", got=_told(value))
    for i, row in enumerate(value):
        if not isinstance(row, dict):
            expected = 'an object such as {"ds": "2026-11-02"}'
            raise SignatureMismatch(f"{form}[{i}]", expected=expected, got=_told(row))
    return value


def _split(form: str, value: object) -> Rows:
    """Rows of pandas' `split`: {"columns": […], "data": [[…], …]}; an index is left out."""
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys():
        expected = 'an object with "columns" and "data"'
        raise SignatureMismatch(form, expected=expected, got=_told(value))
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise SignatureMismatch(f"{form}.columns", expected="a list of names", got=_told(columns))
    if not isinstance(data, list):
        raise SignatureMismatch(f"{form}.data", expected="a list of rows", got=_told(data))
    for i, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            expected = f"a list of {len(columns)} values"
            raise SignatureMismatch(f"{form}.data[{i}]", expected=expected, got=_told(row))
    return [dict(zip(columns, row, strict=True)) for row in data]


def _columns(form: str, value: object) -> Rows:
    """MLflow's `inputs`: an object of equally long lists, or a list of objects."""
    if not isinstance(value, dict):
        return _records(form, value)
    for name, values in value.items():
        if not isinstance(values, list):
            raise SignatureMismatch(f"{form}.{name}", expected="a list", got=_told(values))
    if len({len(values) for values in value.values()}) > 1:
        raise SignatureMismatch(form, expected="lists of one length", got="several lengths")
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


_ROWS: dict[str, Callable[[str, object], Rows]] = {
    "future": _records,
    "dataframe_split": _split,
    "dataframe_records": _records,
    "inputs": _columns,
    "instances": _columns,
}


def _refuse_unknown(rows: Rows, known: set[str]) -> None:
    for i, row in enumerate(rows):
        for name in row:
            if name not in known:
                raise SignatureMismatch(
                    f"future[{i}].{name}",
                    expected="one of " + ", ".join(sorted(known)),
                    got="a column this model does not take",
                )


def _dates(form: str, rows: Rows) -> Dates:
    """The `ds` of each row, without a time zone."""
    texts = [_date(f"{form}[{i}].ds", _cell(row, "ds")) for i, row in enumerate(rows)]
    return np.array(texts, dtype="datetime64[ns]")


def _date(field: str, value: object) -> np.datetime64:
    """An ISO-8601 text as nanoseconds; no zone, no other form."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise SignatureMismatch(field, expected=_DATE_EXPECTED, got=_told(value))
    if match["zone"]:
        raise SignatureMismatch(
            field,
            expected="a date without a time zone, as the model was trained",
            got=_told(value),
            detail="convert it and leave the zone out",
        )
    try:
        return np.datetime64(match[0], "ns")
    except ValueError as fault:
        raise SignatureMismatch(field, expected=_DATE_EXPECTED, got=_told(value)) from fault


def _cell(row: Mapping[str, object], name: str) -> object:
    return row.get(name, _MISSING)


def _number(field: str, value: object) -> float:
    """A finite number; true and false are none, as in the other kinds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SignatureMismatch(field, expected="a number", got=_told(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SignatureMismatch(field, expected="a finite number", got=_told(value))
    return number


def _flag(field: str, value: object) -> bool:
    """True or false, or 1 or 0."""
    if not isinstance(value, int | float) or value not in (0, 1):
        raise SignatureMismatch(field, expected="true or false", got=_told(value))
    return bool(value)


def _texts(dates: Dates) -> list[str]:
    """ISO texts in the coarsest of days, seconds, milli- and nanoseconds that loses nothing."""
    for unit in ("D", "s", "ms"):
        if (dates.astype(f"datetime64[{unit}]") == dates).all():
            return [str(text) for text in np.datetime_as_string(dates, unit=unit).tolist()]
    return [str(text) for text in np.datetime_as_string(dates, unit="ns").tolist()]


def _told(value: object) -> str:
    """A client's value in a few words, never more than a line."""
    return "nothing" if value is _MISSING else describe(value)
