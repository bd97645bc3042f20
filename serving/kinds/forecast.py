"""The forecast kind: a horizon or future rows in, dated predictions out.

    {"horizon": 30}                                      the next 30 dates of the model's calendar
    {"days": 30}                                         the same
    {"future": [{"ds": "2026-11-02", "cap": 9.5}, …]}    these dates, with what the model needs

MLflow's envelopes with a `ds` column are read as future rows; columns that the model does not need
are left out there, as MLflow does. Knows no model format: an engine evaluates. Called by the
servable with the decoded JSON body; errors are the client's (`RequestError`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from registry.errors import MalformedRequest, RequestTooLarge, SignatureMismatch
from registry.signature import Column, Signature
from serving.kinds.dated_rows import (
    ROWS,
    cell,
    date_texts,
    dates_of,
    flag_of,
    number_of,
    refuse_unknown,
    told,
)
from serving.kinds.finite import refuse_non_finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from registry.params import Param
    from serving.calendar import Calendar
    from serving.kinds.tabular import Seen

OUTPUTS = ("yhat", "yhat_lower", "yhat_upper")
HORIZONS = ("horizon", "days")
_TYPES: Mapping[type, str] = {float: "double", bool: "boolean"}


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

    @property
    def last_value(self) -> float | None:
        """The last value of the series; None if it is not known."""

    @property
    def data_points(self) -> int | None:
        """How many values the model learnt from; None if it is not known."""

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

    def predict(self, body: Mapping[str, object], seen: Seen | None = None) -> dict[str, object]:
        """Answer a decoded JSON object: `{"predictions": [{"ds": …, "yhat": …, …}, …]}`.

        `ds` is a date where all are at midnight, else a datetime; rows keep the request's order.
        Raises MalformedRequest for none or several of the forms, SignatureMismatch for anything
        that does not fit the model, RequestTooLarge for too many future rows, NotFinite where the
        model answers NaN or Infinity.
        """
        form = _form(body)
        if seen is not None:
            seen[form] = body[form]
        inputs = self._horizon(form, body[form]) if form in HORIZONS else self._rows(form, body)
        outputs = self._engine.run(inputs)
        columns: dict[str, list[Any]] = {"ds": date_texts(inputs["ds"])}
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

    def known(self, _seen: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the prediction log holds of the series itself, as far as it is known."""
        facts = {
            "last_known_price": self._engine.last_value,
            "data_points": self._engine.data_points,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}

    def repeat(self, body: Mapping[str, object]) -> None:
        """Dates are asked for once each, and the engine's shapes are our own: nothing to try."""

    def synthetic(self) -> Mapping[str, Any]:
        """The next date; with the last training values where the model needs any."""
        if not self._engine.required:
            return {"horizon": 1}
        ds = date_texts(self._engine.calendar.after(1))[0]
        return {"future": [{"ds": ds, **self._engine.example}]}

    def _horizon(self, field: str, asked: object) -> dict[str, NDArray[Any]]:
        """The next `asked` dates; only for models that need nothing but dates."""
        expected = f"an integer from 1 to {self._max_horizon}"
        whole = isinstance(asked, int) and not isinstance(asked, bool)
        if not whole or not 1 <= asked <= self._max_horizon:  # type: ignore[operator]
            raise SignatureMismatch(field, expected=expected, got=told(asked))
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
                field, expected="dates that can be told", got=told(asked), detail=str(fault)
            ) from fault

    def _rows(self, form: str, body: Mapping[str, object]) -> dict[str, NDArray[Any]]:
        """The columns of future rows, in their order."""
        rows = ROWS[form](form, body[form])
        if not rows:
            raise SignatureMismatch(form, expected="at least one row", got="none")
        if len(rows) > self._max_horizon:
            msg = f"{form}: {len(rows)} rows are over the limit of {self._max_horizon}; send fewer"
            raise RequestTooLarge(msg)
        required = self._engine.required
        if form == "future":
            refuse_unknown(form, rows, {"ds", *required})
        inputs: dict[str, NDArray[Any]] = {"ds": dates_of(form, rows)}
        for name, kind in required.items():
            read = flag_of if kind is bool else number_of
            values = [read(f"{form}[{i}].{name}", cell(row, name)) for i, row in enumerate(rows)]
            inputs[name] = np.array(values, dtype=kind)
        return inputs


def _form(body: Mapping[str, object]) -> str:
    """The one key of `body` that says what is asked."""
    forms = (*HORIZONS, *ROWS)
    for key, value in body.items():
        if key == "history":
            raise SignatureMismatch(
                key,
                expected="no history",
                got=told(value),
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
