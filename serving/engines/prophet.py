"""The prophet engine: evaluates a saved Prophet model in numpy, without Prophet.

    yhat = trend x (1 + multiplied terms) + added terms

The trend is `prophet_trend`, the terms are `prophet_terms`, the file is `prophet_file`. Formulas:
Taylor & Letham, "Forecasting at Scale" (2018), and Prophet's documentation; parity with
`Prophet.predict` is the contract test `test_prophet_parity`. Requests are not decoded here: the
forecast kind does that, and asks this engine for what it needs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from registry.errors import BundleInvalid, SignatureMismatch
from serving.calendar import Calendar
from serving.engines.prophet_file import SavedProphet, read
from serving.engines.prophet_terms import Terms
from serving.engines.prophet_trend import Curve, Future

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from serving.calendar import Dates

    Floats = NDArray[np.float64]
    Inputs = Mapping[str, NDArray[Any]]

_MOST_KEPT = 64


class ProphetEngine:
    """One loaded Prophet model; immutable to its callers, so any number of threads may run it.

    `calendar` is the last training date and the step of the history. `required` names the columns
    that every request needs besides `ds`, each with `float` or `bool`: `cap`, `floor`, regressors,
    conditions of seasonalities. `example` holds their values in the last row of the history, whose
    `y` is `last_value`; it has `data_points` rows.
    """

    calendar: Calendar
    required: Mapping[str, type]
    example: Mapping[str, float | bool]
    last_value: float | None
    data_points: int | None

    def __init__(self, saved: SavedProphet, *, seed: int, samples: int = 1000) -> None:
        """Precompute what does not depend on the dates; `load` is the usual way in."""
        self.calendar = Calendar.infer(saved.history_dates)
        self.required = _required(saved)
        self.example = _example(saved, self.required)
        self.last_value, self.data_points = _last_value(saved), saved.history_rows
        self._saved = saved
        self._terms = Terms(saved)
        self._mean = _Fit(saved, self._terms, mean=True)
        self._draws = _Fit(saved, self._terms, mean=False) if saved.draws.k.size > 1 else self._mean
        self._seeds = np.random.SeedSequence(seed).spawn(3)
        self._paths = math.ceil(samples / saved.draws.k.size) if saved.has_band else 0
        self._future = Future(
            growth=saved.growth,
            changepoints=saved.changepoints,
            draws=saved.draws,
            paths=self._paths,
        )
        # Then a date's futures are the same around its forecast, whatever date it is.
        self._is_even = (
            saved.growth != "logistic" and saved.draws.k.size == 1 and not self._terms.multiply
        )
        self._kept: dict[tuple[int, float], list[Floats]] = {}

    @classmethod
    def load(cls, path: Path, *, seed: int, samples: int = 1000) -> ProphetEngine:
        """Read MLflow's `model.pr` at `path`.

        `seed` (>= 0) fixes the band: the same request gets the same one. `samples` is how many
        futures it is made of; 0, or a model fitted without uncertainty, gives no band.
        Raises BundleInvalid for a file that is not a complete, finite Prophet model.
        """
        saved = read(path)
        try:
            return cls(saved, seed=seed, samples=samples)
        except BundleInvalid as fault:
            msg = f"{path.name}: {fault}"
            raise BundleInvalid(msg) from fault

    def run(self, inputs: Inputs, *, band: bool = True) -> dict[str, Floats]:
        """Forecast the dates `ds` (datetime64[ns], [n], any order) with the required columns.

        Returns `yhat`, `trend` and, unless `band` is false or the model has none, `yhat_lower` and
        `yhat_upper`: float64 [n] each, in the order of `ds`. The band spans `interval_width` of the
        simulated futures, each with its own changes of trend and observation noise.
        Raises SignatureMismatch for a missing column and for a cap that is not above the floor.
        """
        for name in self.required:
            if name not in inputs:
                raise SignatureMismatch(name, expected="a column of the request", got="nothing")
        dates = inputs["ds"]
        if (dates[1:] < dates[:-1]).any():
            order = np.argsort(dates, kind="stable")
            answer = self.run({name: inputs[name][order] for name in inputs}, band=band)
            place = np.argsort(order)
            return {name: values[place] for name, values in answer.items()}
        return self._run_sorted(dates.astype("datetime64[ns]"), inputs, band=band)

    def _run_sorted(self, dates: Dates, inputs: Inputs, *, band: bool) -> dict[str, Floats]:
        saved = self._saved
        t = (dates.astype(np.int64) - saved.start) / saved.span
        floor = inputs["floor"].astype(np.float64) if saved.floor is None else saved.floor
        cap = None
        if saved.growth == "logistic":
            cap = _room(inputs["cap"].astype(np.float64), floor) / saved.y_scale
        features = self._terms.features(dates, inputs)
        trend, added, multiplied = self._mean.parts(t, cap, floor, features)
        answer = {"yhat": (trend * (1 + multiplied) + added)[:, 0], "trend": trend[:, 0]}
        if band and self._paths:
            parts = self._draws.parts(t, cap, floor, features)
            answer["yhat_lower"], answer["yhat_upper"] = self._band(dates, t, cap, parts)
        return answer

    def _band(
        self, dates: Dates, t: Floats, cap: Floats | None, parts: tuple[Floats, Floats, Floats]
    ) -> list[Floats]:
        """Lower and upper quantile of simulated observations at ascending dates, [n] each."""
        trend, added, multiplied = parts
        centre = trend * (1 + multiplied) + added
        past = int(np.searchsorted(t, 1.0, side="right"))
        step = self._step(dates[past:])
        if self._is_even:
            return [centre[:, 0] + offset for offset in self._offsets(t, past, step)]
        paths = self._simulated(t, past, step, cap, multiplied)
        paths += centre[:, :, None]
        return self._quantiles(paths)

    def _offsets(self, t: Floats, past: int, step: float) -> list[Floats]:
        """The band around its centre, which depends on nothing but how far apart the dates are.

        Kept: fewer dates have the first rows of more.
        """
        kept = self._kept.get((past, step))
        if kept is None or len(kept[0]) < t.size:
            kept = self._quantiles(self._simulated(t, past, step, None, np.zeros((t.size, 1))))
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[past, step] = kept
        return [offset[: t.size] for offset in kept]

    def _simulated(
        self, t: Floats, past: int, step: float, cap: Floats | None, multiplied: Floats
    ) -> Floats:
        """What futures and observations add to the curve, [n, d, paths]."""
        saved = self._saved
        places, sizes, noise = (np.random.Generator(np.random.PCG64(s)) for s in self._seeds)
        paths = noise.standard_normal((*multiplied.shape, self._paths))
        paths *= (saved.draws.sigma * saved.y_scale)[:, None]
        later = None if cap is None else cap[past:]
        deviations = self._future.deviations(t[past:], later, step, places=places, sizes=sizes)
        if deviations is not None:
            deviations *= saved.y_scale * (1 + multiplied[past:, :, None])
            paths[past:] += deviations
        return paths

    def _quantiles(self, paths: Floats) -> list[Floats]:
        tail = (1 - self._saved.interval_width) / 2
        return _quantiles(paths.reshape(len(paths), -1), tail, 1 - tail)

    def _step(self, dates: Dates) -> float:
        """The mean step of dates after the history; of a lone one, the history's. Scaled as t."""
        if len(dates) < 2:
            return 1 / max(self._saved.history_rows - 1, 1)
        return float(int(dates[-1] - dates[0]) / (len(dates) - 1) / self._saved.span)


class _Fit:
    """The fitted parameters ready to apply: their means (d = 1), or each draw by itself."""

    def __init__(self, saved: SavedProphet, terms: Terms, *, mean: bool) -> None:
        draws = saved.draws.mean() if mean else saved.draws
        self._curve = Curve.fitted(saved.growth, saved.changepoints, draws)
        self._weights = terms.weights(draws.beta, saved.y_scale)
        self._y_scale = saved.y_scale
        self._size = draws.k.size

    def parts(
        self, t: Floats, cap: Floats | None, floor: Floats | float, features: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Trend, added and multiplied terms, [n, d] each, in units of y (the last: a share)."""
        base = floor[:, None] if isinstance(floor, np.ndarray) else floor
        trend = self._curve.at(t, cap) * self._y_scale + base
        effects = features @ self._weights
        return trend, effects[:, : self._size], effects[:, self._size :]


def _required(saved: SavedProphet) -> dict[str, type]:
    """The columns a request must bring; a condition that is a regressor too stays a bool."""
    columns: dict[str, type] = {}
    if saved.growth == "logistic":
        columns["cap"] = float
    if saved.floor is None:
        columns["floor"] = float
    columns |= {regressor.name: float for regressor in saved.regressors}
    return columns | {s.condition: bool for s in saved.seasonalities if s.condition is not None}


def _example(saved: SavedProphet, required: Mapping[str, type]) -> dict[str, float | bool]:
    """The last row of the history as its owner knew it: regressors are not standardised."""
    scales = {r.name: (r.mean, r.scale) for r in saved.regressors}
    example: dict[str, float | bool] = {}
    for name, kind in required.items():
        mean, scale = scales.get(name, (0.0, 1.0))
        value = saved.last_row.get(name)
        if not isinstance(value, int | float):
            msg = f"history has no {name}, which the model needs"
            raise BundleInvalid(msg)
        example[name] = kind(value * scale + mean)
    return example


def _last_value(saved: SavedProphet) -> float | None:
    value = saved.last_row.get("y")
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None  # type: ignore[arg-type]


def _room(cap: Floats, floor: Floats | float) -> Floats:
    """Take the floor off the cap; logistic growth has no meaning where nothing is left."""
    room: Floats = cap - floor
    if (room <= 0).any():
        row = int(np.argmax(room <= 0))
        lowest = float(np.broadcast_to(floor, cap.shape)[row])
        raise SignatureMismatch("cap", expected=f"more than the floor, {lowest}", got=f"{cap[row]}")
    return room


def _quantiles(rows: Floats, *shares: float) -> list[Floats]:
    """The quantile of each row for each share, between two values linearly; reorders `rows`."""
    last = rows.shape[1] - 1
    places = [(share * last, min(int(share * last), last)) for share in shares]
    rows.partition([one for _, at in places for one in (at, min(at + 1, last))], axis=1)
    return [
        rows[:, at] + (position - at) * (rows[:, min(at + 1, last)] - rows[:, at])
        for position, at in places
    ]
