"""Forecasts by a graph that looks at the last rows of a series, in the forms of every forecast.

    {"horizon": 5}                                                what follows the rows learnt from
    {"horizon": 5, "history": [{"ds": "2026-11-02", "close": 31.2, …}, …]}    what follows these

The graph takes a window, [n, length, columns], and tells all the days it can at once: `yhat`
[n, steps], and a band beside it. What it looked at last comes with the bundle:
`baton/model_schema.json` has `history`, rows as a request would bring them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from registry.errors import BundleInvalid, RequestTooLarge, SignatureMismatch, WrongShape
from registry.signature import Column, Signature, describe
from serving.calendar import Calendar
from serving.kinds.dated_rows import (
    MOST_ROWS,
    cell,
    date_texts,
    dates_of,
    number_of,
    records,
    refuse_unknown,
)
from serving.kinds.forecast import OUTPUTS, Forecast

if TYPE_CHECKING:
    from registry.params import Param
    from serving.kinds.dated_rows import Rows
    from serving.kinds.tabular import Seen, TabularEngine

HISTORY: Final = "history"
_SCHEMA: Final = "baton/model_schema.json"


class WindowForecast:
    """One model that forecasts from the last rows of a series."""

    def __init__(
        self, engine: TabularEngine, *, schema: Mapping[str, Any], max_horizon: int
    ) -> None:
        """`schema` has the columns in the graph's order, and the rows that were there last.

        Raises BundleInvalid if graph and schema do not fit together.
        """
        self._engine = engine
        self.history = _columns(schema)
        self._positive = frozenset(schema.get("positive") or ())
        self._target = _target(schema, self.history)
        self._data_points = _data_points(schema)
        self._length, self._steps = _shape(engine, len(self.history))
        self._max_horizon = min(max_horizon, self._steps)
        try:
            self._own = self._forecast(schema.get(HISTORY))
        except (SignatureMismatch, RequestTooLarge) as error:
            raise BundleInvalid(f"{_SCHEMA}: {error}") from error
        self.params: Sequence[Param] = ()
        self.signature = Signature((Column("ds", "datetime"),), outputs=("ds", *OUTPUTS))

    def predict(self, body: Mapping[str, object], seen: Seen | None = None) -> dict[str, object]:
        """Answer as `Forecast.predict` does, from the request's `history` if it brings one."""
        if HISTORY not in body:
            return self._own.predict(body, seen)
        if seen is not None:
            seen[HISTORY] = body[HISTORY]
        asked = {key: value for key, value in body.items() if key != HISTORY}
        return self._forecast(body[HISTORY]).predict(asked, seen)

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Dates and forecasts, one column each."""
        return self._own.tensors(answer)

    def known(self, seen: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `Forecast.known` says it; the last value is that of the rows a request brought."""
        known = self._own.known(seen)
        if HISTORY not in seen or self._target is None:
            return known
        return {**known, "last_known_price": self._last(records(HISTORY, seen[HISTORY]))}

    def repeat(self, body: Mapping[str, object]) -> None:
        """One window is asked for in one request: there are no rows to mix up."""

    def synthetic(self) -> Mapping[str, Any]:
        """The next date."""
        return {"horizon": 1}

    def _forecast(self, history: object) -> Forecast:
        """What follows these rows."""
        rows = records(HISTORY, history)
        if not self._length <= len(rows) <= MOST_ROWS:
            raise SignatureMismatch(
                HISTORY,
                expected=f"from {self._length} to {MOST_ROWS} rows, the last {self._length} count",
                got=f"{len(rows)} rows",
            )
        refuse_unknown(HISTORY, rows, {"ds", *self.history})
        dates = dates_of(HISTORY, rows)
        if (early := np.flatnonzero(np.diff(dates) <= np.timedelta64(0))).size:
            at = int(early[0]) + 1
            before, after = date_texts(dates[at - 1 : at + 1])
            raise SignatureMismatch(
                f"{HISTORY}[{at}].ds", expected=f"a date after {before}", got=after
            )
        window = self._window(rows)
        ahead = _Ahead(
            self._engine,
            window,
            Calendar.infer(dates),
            self._steps,
            last_value=self._last(rows),
            data_points=self._data_points,
        )
        return Forecast(ahead, max_horizon=self._max_horizon)

    def _last(self, rows: Rows) -> float | None:
        """The last value of the column that is forecast."""
        if self._target is None:
            return None
        return number_of(f"{HISTORY}[-1].{self._target}", cell(rows[-1], self._target))

    def _window(self, rows: Rows) -> NDArray[np.float32]:
        """The last rows as the graph takes them, [1, length, columns]."""
        first = len(rows) - self._length
        values = [
            [number_of(f"{HISTORY}[{i}].{name}", cell(rows[i], name)) for name in self.history]
            for i in range(first, len(rows))
        ]
        for place, row in enumerate(values):
            for name, value in zip(self.history, row, strict=True):
                if value <= 0 and name in self._positive:
                    raise SignatureMismatch(
                        f"{HISTORY}[{first + place}].{name}",
                        expected="a number above 0",
                        got=describe(value),
                    )
        with np.errstate(over="ignore"):
            window = np.array([values], np.float32)
        if (beyond := np.argwhere(np.isinf(window[0]))).size:
            row, column = beyond[0].tolist()
            raise SignatureMismatch(
                f"{HISTORY}[{first + row}].{self.history[column]}",
                expected="a number in float32",
                got=describe(values[row][column]),
            )
        return window


@dataclass(frozen=True)
class _Ahead:
    """The graph with its window, as the forecast kind wants an engine; see `ForecastEngine`."""

    engine: TabularEngine
    window: NDArray[np.float32]
    calendar: Calendar
    steps: int
    required: Mapping[str, type] = field(default_factory=dict)
    example: Mapping[str, float | bool] = field(default_factory=dict)
    last_value: float | None = None
    data_points: int | None = None

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float64]]:
        """The graph's answer for these dates, which are among the next ones."""
        reachable = self.calendar.after(self.steps)
        wanted = inputs["ds"]
        places = np.searchsorted(reachable, wanted).clip(0, self.steps - 1)
        if (strange := reachable[places] != wanted).any():
            first, last = date_texts(reachable[[0, -1]])
            raise SignatureMismatch(
                "ds",
                expected=f"open days from {first} to {last}",
                got=date_texts(wanted[strange])[0],
                detail="the model looks no further than that, and bring a history for later days",
            )
        answer = self.engine.run({self.engine.inputs[0].name: self.window})
        found = {}
        for name in OUTPUTS:
            if name in answer:
                values = np.asarray(answer[name])
                if values.shape != (1, self.steps):
                    raise WrongShape(
                        f"output {name!r}: expected [1, {self.steps}], got {list(values.shape)}"
                    )
                found[name] = values[0, places].astype(np.float64)
        return found


def _columns(schema: Mapping[str, Any]) -> tuple[str, ...]:
    named = schema.get("columns")
    texts = isinstance(named, list) and all(isinstance(one, str) and one for one in named)
    if not named or not texts or len({"ds", *named}) != len(named) + 1:
        raise BundleInvalid(
            f"{_SCHEMA}: columns: expected distinct names in the graph's order, got "
            f"{describe(named)}"
        )
    return tuple(named)


def _target(schema: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """The column that is forecast; None where the bundle does not say it, as older ones."""
    named = schema.get("target")
    if named is not None and named not in columns:
        raise BundleInvalid(
            f"{_SCHEMA}: target: expected one of {', '.join(columns)}, got {describe(named)}"
        )
    return named


def _data_points(schema: Mapping[str, Any]) -> int | None:
    """How many rows it learnt from; None where the bundle does not say it, as older ones."""
    count = schema.get("data_points")
    whole = isinstance(count, int) and not isinstance(count, bool)
    if count is not None and (not whole or count < 1):
        raise BundleInvalid(
            f"{_SCHEMA}: data_points: expected a positive integer, got {describe(count)}"
        )
    return count


def _shape(engine: TabularEngine, columns: int) -> tuple[int, int]:
    """How long the graph's window is, and how many steps it tells."""
    tensors = ", ".join(f"{tensor.name}: {tensor}" for tensor in engine.inputs)
    shape = engine.inputs[0].shape if len(engine.inputs) == 1 else ()
    fits = len(shape) == 3 and shape[0] in (-1, 1) and shape[1] > 0 and shape[2] == columns
    if not fits or engine.inputs[0].dtype != "float32" or OUTPUTS[0] not in engine.outputs:
        raise BundleInvalid(
            f"the graph: expected an input float32[-1, length, {columns}] and an output "
            f"{OUTPUTS[0]}, got {tensors} and {', '.join(engine.outputs)}"
        )
    window = np.ones((1, *shape[1:]), np.float32)
    told = np.shape(engine.run({engine.inputs[0].name: window})[OUTPUTS[0]])
    if len(told) != 2 or told[0] != 1 or not told[1]:
        raise BundleInvalid(f"the graph: expected {OUTPUTS[0]} as [n, steps], got {list(told)}")
    return shape[1], told[1]
