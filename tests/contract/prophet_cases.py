"""Prophet models to compare the engine with: how each is built, fitted and asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from prophet import Prophet
from prophet.serialize import model_to_json

from serving.engines.prophet import ProphetEngine

Mode = Literal["additive", "multiplicative"]

ROWS = 320
AHEAD = 60
LONGEST = 1_000  # rows of the random columns, so that a shorter history is a longer one's start
HOLIDAYS = pd.DataFrame(
    {
        "holiday": ["fair", "fair", "fair", "race", "race"],
        "ds": pd.to_datetime(
            ["2021-03-05", "2021-07-09", "2021-12-03", "2021-05-20", "2022-01-10 14:00"],
            format="mixed",
        ),
        "lower_window": [-2, -1, -2, 0, 0],
        "upper_window": [1, 3, 1, 0, 0],
    }
)


def history(rows: int, *, freq: str = "D") -> pd.DataFrame:
    """A synthetic series with trend, week, noise and every column a model may ask for."""
    rng = np.random.default_rng(3)
    i = np.arange(rows)
    bend = np.where(i > rows / 2, i - rows / 2, 0)
    frame = pd.DataFrame({"ds": pd.date_range("2021-01-04", periods=rows, freq=freq)})
    frame["heat"] = 20 + 5 * np.sin(i / 40) + rng.normal(size=LONGEST)[:rows]
    frame["promo"] = (rng.random(LONGEST)[:rows] < 0.2).astype(float)
    frame["open"] = frame["ds"].dt.day_of_week < 5
    frame["cap"] = 90.0 + 0.01 * i
    frame["floor"] = 3.0
    week = 3 * np.sin(2 * np.pi * i / 7)
    noise = rng.normal(scale=1.2, size=LONGEST)[:rows]
    frame["y"] = 20 + 0.08 * i - 0.05 * bend + week + 0.3 * frame["heat"] + noise
    return frame


@dataclass(frozen=True)
class Case:
    """How a model is built, and which columns it is fitted on."""

    options: dict[str, Any] = field(default_factory=dict)
    build: Callable[[Prophet], object] = lambda _: None
    columns: tuple[str, ...] = ()
    freq: str = "D"
    fit: dict[str, Any] = field(default_factory=dict)


def regressors(mode: Mode) -> Callable[[Prophet], object]:
    """Add one standardised and one binary regressor, in two modes."""

    def build(model: Prophet) -> None:
        other: Mode = "additive" if mode == "multiplicative" else "multiplicative"
        model.add_regressor("heat", mode=mode)
        model.add_regressor("promo", mode=other, standardize=False)

    return build


def conditional(model: Prophet) -> None:
    """Add a week that holds on open days only, and a custom period in the other mode."""
    model.add_seasonality("open_week", period=7, fourier_order=3, condition_name="open")
    model.add_seasonality("month", period=30.5, fourier_order=4, mode="multiplicative")


def brazil(model: Prophet) -> None:
    """Add a country whose days of other years must be looked up."""
    model.add_country_holidays("BR")


def everything(model: Prophet) -> None:
    """Add all of it."""
    conditional(model)
    brazil(model)
    regressors("additive")(model)


MULTIPLIED = {"seasonality_mode": "multiplicative"}
LOGISTIC = {"growth": "logistic"}
MCMC = {"mcmc_samples": 60, "weekly_seasonality": True}
CHAINS = {"chains": 2, "seed": 5, "show_progress": False}
CASES = {
    "linear": Case(),
    "linear, multiplied": Case(MULTIPLIED),
    "wide interval": Case({"interval_width": 0.95, "changepoint_prior_scale": 0.5}),
    "no changepoints": Case({"n_changepoints": 0}),
    "given changepoints": Case({"changepoints": ["2021-04-01", "2021-03-01"]}),
    "no terms": Case({"weekly_seasonality": False, "yearly_seasonality": False}),
    "yearly": Case({"yearly_seasonality": 6}),
    "minmax": Case({"scaling": "minmax"}),
    "minmax, multiplied": Case({"scaling": "minmax"} | MULTIPLIED),
    "flat": Case({"growth": "flat"}),
    "flat, multiplied, holidays": Case({"growth": "flat", "holidays": HOLIDAYS} | MULTIPLIED),
    "logistic": Case(LOGISTIC | {"changepoint_prior_scale": 0.3}, columns=("cap",)),
    "logistic, multiplied": Case(LOGISTIC | MULTIPLIED, columns=("cap",)),
    "logistic, floor": Case(LOGISTIC, columns=("cap", "floor")),
    "logistic, floor, minmax": Case(LOGISTIC | {"scaling": "minmax"}, columns=("cap", "floor")),
    "holidays": Case({"holidays": HOLIDAYS}),
    "holidays multiplied": Case({"holidays": HOLIDAYS, "holidays_mode": "multiplicative"}),
    "holidays without windows": Case({"holidays": HOLIDAYS[["holiday", "ds"]]}),
    "country": Case(build=brazil),
    "country and table": Case({"holidays": HOLIDAYS} | MULTIPLIED, build=brazil),
    "regressors": Case(build=regressors("additive"), columns=("heat", "promo")),
    "regressors, multiplied": Case(
        MULTIPLIED, build=regressors("multiplicative"), columns=("heat", "promo")
    ),
    "conditional": Case(build=conditional, columns=("open",)),
    "all at once": Case(
        LOGISTIC | {"holidays": HOLIDAYS, "holidays_mode": "multiplicative"},
        build=everything,
        columns=("cap", "heat", "promo", "open"),
    ),
    "hourly": Case(freq="h"),
    "business days": Case(freq="B"),
    "monthly": Case({"yearly_seasonality": 3}, freq="MS"),
    "draws": Case(MCMC, fit=CHAINS),
    "draws, multiplied": Case(MCMC | MULTIPLIED, fit=CHAINS, build=brazil),
    "draws, logistic": Case(MCMC | LOGISTIC, fit=CHAINS, columns=("cap",)),
}


@dataclass(frozen=True)
class Fitted:
    """A model as Prophet reads it back, the same in the engine, and dates to compare on."""

    prophet: Prophet
    engine: ProphetEngine
    frame: pd.DataFrame

    def inputs(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """The arrays the engine takes for `frame`."""
        named = {name: frame[name].to_numpy() for name in self.engine.required}
        return named | {"ds": frame["ds"].to_numpy().astype("datetime64[ns]")}

    @property
    def ahead(self) -> pd.DataFrame:
        """The rows after the history."""
        return self.frame[ROWS:].reset_index(drop=True)


def fit(case: Case) -> str:
    """Fit the case and give the JSON of `model_to_json`."""
    rows = history(ROWS, freq=case.freq)
    model = Prophet(**case.options)
    case.build(model)
    text: str = model_to_json(model.fit(rows[["ds", "y", *case.columns]], **case.fit))
    return text


def engine_of(saved: object, path: Path, *, seed: int = 1, samples: int = 1000) -> ProphetEngine:
    """The engine of a decoded file."""
    path.write_text(json.dumps(saved))
    return ProphetEngine.load(path, seed=seed, samples=samples)
