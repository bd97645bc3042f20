"""Reads `model.pr`, the JSON that MLflow's prophet flavour saves, into checked values.

The file is a JSON text inside a JSON string (`mlflow.prophet` dumps what
`prophet.serialize.model_to_json` made); the inner text alone is taken too. Tables and series in
it are JSON texts once more, as pandas writes them. Nothing here evaluates: what comes out is
complete, rectangular and finite, or BundleInvalid says what is not. Called by `ProphetEngine.load`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from registry.errors import BundleInvalid
from serving.engines.prophet_json import Fields, decoded

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from serving.calendar import Dates

GROWTHS = ("linear", "logistic", "flat")
MODES = ("additive", "multiplicative")
LONGEST_WINDOW_DAYS = 3_660
SCALINGS = ("absmax", "minmax")


@dataclass(frozen=True, eq=False, kw_only=True)
class Draws:
    """Fitted parameters, one row a posterior draw (one row in all for a MAP fit).

    Shapes: `k`, `m`, `sigma` [d], `delta` [d, changepoints], `beta` [d, features].
    """

    k: NDArray[np.float64]
    m: NDArray[np.float64]
    sigma: NDArray[np.float64]
    delta: NDArray[np.float64]
    beta: NDArray[np.float64]

    def mean(self) -> Draws:
        """One row: the means over the draws, which Prophet's point forecast uses."""
        return Draws(
            k=self.k.mean(keepdims=True),
            m=self.m.mean(keepdims=True),
            sigma=self.sigma.mean(keepdims=True),
            delta=self.delta.mean(axis=0, keepdims=True),
            beta=self.beta.mean(axis=0, keepdims=True),
        )


@dataclass(frozen=True)
class Seasonality:
    """A Fourier series of `order` terms over `period` days, off where `condition` is false."""

    name: str
    period: float
    order: int
    mode: str
    condition: str | None


@dataclass(frozen=True)
class Regressor:
    """A column that is standardised by `mean` and `scale`, then weighted."""

    name: str
    mean: float
    scale: float
    mode: str


@dataclass(frozen=True)
class Holiday:
    """A named day (days since 1970) and the shifts in days that count as it, 0 among them."""

    name: str
    day: int
    window: range


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedProphet:
    """A fitted Prophet as its file tells it; times in nanoseconds since 1970."""

    growth: str
    start: int
    span: int
    y_scale: float
    floor: float | None  # None: a column of the request
    changepoints: NDArray[np.float64]  # scaled: 0 is the first training date, 1 the last
    draws: Draws
    seasonalities: tuple[Seasonality, ...]
    regressors: tuple[Regressor, ...]
    holidays: tuple[Holiday, ...]
    holiday_names: tuple[str, ...]
    holidays_mode: str
    country: str | None
    interval_width: float
    has_band: bool
    history_dates: Dates
    history_rows: int
    last_row: dict[str, Any]  # as the fit saw it: regressors standardised


def read(path: Path) -> SavedProphet:
    """Read and check the file at `path`; BundleInvalid names it and what is wrong with it."""
    fields = Fields(path.name, decoded(path))
    try:
        return _saved(fields)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError, OverflowError) as fault:
        msg = f"{path.name}: not a model that Prophet saved ({type(fault).__name__}: {fault})"
        raise BundleInvalid(msg) from fault


def _saved(fields: Fields) -> SavedProphet:
    """Everything the engine needs, out of the file's fields."""
    mode = fields.word("seasonality_mode", MODES)
    scaling = fields.word("scaling", SCALINGS, "absmax")  # prophet < 1.1.5 had no other
    base = fields.number("y_min") if scaling == "minmax" else 0.0
    changepoints = fields.array("changepoints_t", fields.need("changepoints_t"))
    history = fields.table("history")
    return SavedProphet(
        growth=fields.word("growth", GROWTHS),
        start=round(fields.number("start") * 1e6) * 1_000,
        span=round(fields.positive("t_scale") * 1e6) * 1_000,
        y_scale=fields.positive("y_scale"),
        floor=None if fields.need("logistic_floor") else base,
        changepoints=changepoints,
        draws=_draws(fields, changepoints.size),
        seasonalities=_seasonalities(fields),
        regressors=_regressors(fields),
        holidays=tuple(_holiday(row) for row in fields.table("holidays")),
        holiday_names=tuple(str(name) for name in fields.series("train_holiday_names")),
        holidays_mode=fields.word("holidays_mode", MODES, mode),
        country=fields.optional_text("country_holidays"),
        interval_width=min(fields.positive("interval_width"), 1.0),
        has_band=bool(fields.need("uncertainty_samples")),
        history_dates=_dates(fields.series("history_dates")),
        history_rows=len(history),
        last_row=history[-1],
    )


def _draws(fields: Fields, changepoints: int) -> Draws:
    """The parameters, checked to be finite and of one shape."""
    params = fields.need("params")
    if not isinstance(params, dict):
        raise fields.fault("params", "an object of arrays")
    missing = [name for name in ("k", "m", "sigma_obs", "delta", "beta") if name not in params]
    if missing:
        raise fields.fault(f"params.{missing[0]}", "an array")
    k, m, sigma = (
        fields.array(f"params.{name}", params[name]).reshape(-1) for name in ("k", "m", "sigma_obs")
    )
    delta, beta = (fields.array(f"params.{name}", params[name]) for name in ("delta", "beta"))
    if k.size == 0 or {m.size, sigma.size} != {k.size}:
        raise fields.fault("params", "as many rows of m and sigma_obs as of k")
    if delta.shape != (k.size, changepoints):
        raise fields.fault("params.delta", f"shape {(k.size, changepoints)}, not {delta.shape}")
    if beta.ndim != 2 or beta.shape[0] != k.size:
        raise fields.fault("params.beta", f"{k.size} rows, not shape {beta.shape}")
    return Draws(k=k, m=m, sigma=sigma, delta=delta, beta=beta)


def _seasonalities(fields: Fields) -> tuple[Seasonality, ...]:
    return tuple(
        Seasonality(
            name=name,
            period=fields.above_zero(f"seasonalities.{name}.period", props["period"]),
            order=int(fields.above_zero(f"seasonalities.{name}.order", props["fourier_order"])),
            mode=fields.one_of(f"seasonalities.{name}.mode", props["mode"], MODES),
            condition=props.get("condition_name"),
        )
        for name, props in fields.ordered("seasonalities")
    )


def _regressors(fields: Fields) -> tuple[Regressor, ...]:
    return tuple(
        Regressor(
            name=name,
            mean=fields.finite(f"extra_regressors.{name}.mu", props["mu"]),
            scale=fields.above_zero(f"extra_regressors.{name}.std", props["std"]),
            mode=fields.one_of(f"extra_regressors.{name}.mode", props["mode"], MODES),
        )
        for name, props in fields.ordered("extra_regressors")
    )


def _holiday(row: dict[str, Any]) -> Holiday:
    """A row of the holidays table; a window with a missing side is none, as in Prophet."""
    window = (row.get("lower_window", 0), row.get("upper_window", 0))
    lower, upper = (0, 0) if None in window else (int(window[0]), int(window[1]))
    day = int(_dates([row["ds"]]).astype("datetime64[D]").astype(np.int64)[0])
    if max(-lower, upper) > LONGEST_WINDOW_DAYS:
        msg = f"the window of holiday {row['holiday']!r} is longer than {LONGEST_WINDOW_DAYS} days"
        raise ValueError(msg)
    return Holiday(name=str(row["holiday"]), day=day, window=range(lower, upper + 1))


def _dates(texts: list[Any]) -> Dates:
    """ISO texts as pandas writes them; older ones end in Z, which Prophet ignores too."""
    if not texts or not all(isinstance(text, str) for text in texts):
        msg = "dates must be ISO texts, at least one"
        raise ValueError(msg)
    return np.array([text.removesuffix("Z") for text in texts], dtype="datetime64[ns]")
