"""petr4: a daily series forecast by Prophet, served from its saved JSON.

Judged on the last `holdout_days` observations, which the model never saw, and by a rolling-origin
backtest inside the training part; both against repeating the last value and the last season. A
random walk is hard to beat: where the naive forecast wins, the run's verdict says so.

The registered model is the one that was judged, fitted on the training part. It is not fitted again
on the hold-out afterwards, so that the bytes served are the bytes judged. A forecast by horizon
therefore begins where the training part ends; `future` dates may lie anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from registry.bundle import Golden
from registry.errors import UsageError
from training import metrics, plots, prophet_model
from training.baselines import backtest, naive, seasonal_naive
from training.data.calendar import following, frequency, season
from training.data.checks import Requirements
from training.data.dataset import DATE, VALUE, Field, iso
from training.environment import pinned
from training.parameter import Parameter, Values
from training.prophet_model import BAND
from training.tracking import save_model
from training.workload import (
    About,
    Answer,
    Array,
    Material,
    Measured,
    Packaged,
    Request,
    Split,
    score,
)

_SHOWN_ROWS = 250
_GOLDEN_HORIZON = 30
_FILE = "model.json"


# Prophet's own, and how much is learnt from and judged on.
_PARAMETERS = (
    *prophet_model.PARAMETERS,
    Parameter(
        name="holdout_days",
        default=30,
        minimum=1,
        help="Last observations that are only judged on.",
    ),
    Parameter(
        name="history_rows",
        default=1000,
        minimum=60,
        help="Observations before the hold-out that are learnt from.",
    ),
    Parameter(
        name="backtest_folds",
        default=5,
        minimum=0,
        help="Origins of the backtest, each a fit of its own.",
    ),
    Parameter(
        name="max_gap_steps",
        default=30.0,
        minimum=1,
        help="Longest gap allowed in the dates, in their usual distance.",
    ),
)
_ABOUT = About(
    name="petr4",
    experiment="petr4_forecast",
    model="ProphetModel",
    run_name="prophet_training",
    kind="forecast",
    default_source="sample",
    series={"sample": "usd_brl", "yahoo": "PETR4.SA"},
    fields=(
        Field(DATE, "date", ("date", "timestamp", "ts")),
        Field(VALUE, "number", ("adj close", "adj_close", "close", "value", "price")),
    ),
    parameters=_PARAMETERS,
    metrics={"mae": metrics.mae, "rmse": metrics.rmse, "mape": metrics.mape},
    primary="mae",
    greater_is_better=False,
)


class Petr4:
    """See the module's docstring."""

    about = _ABOUT
    objective = "backtest_mae"

    def requirements(self, params: Values) -> Requirements:
        """Increasing dates, values above zero that change, and enough rows for the folds."""
        horizon, folds = int(params["holdout_days"]), int(params["backtest_folds"])
        if int(params["history_rows"]) < (least := horizon * (folds + 2)):
            raise UsageError(
                f"history_rows: expected at least {least} for {folds} folds of {horizon}, "
                f"got {params['history_rows']}"
            )
        return Requirements(
            min_rows=max(100, horizon * (folds + 3)),
            dated=True,
            max_gap_steps=float(params["max_gap_steps"]),
            positive=(VALUE,),
            different=(VALUE, 2),
        )

    def split(self, frame: pd.DataFrame, params: Values, *, seed: int) -> Split:  # noqa: ARG002
        """In order of time: the hold-out is the end."""
        horizon, rows = int(params["holdout_days"]), int(params["history_rows"])
        return Split(frame.iloc[:-horizon].tail(rows), frame.iloc[-horizon:])

    def fit(self, train: pd.DataFrame, params: Values, *, seed: int) -> Any:
        """A Prophet, by its deterministic optimiser."""
        return prophet_model.fit(train, params, seed=seed, samples=1000)

    def save(self, model: Any, folder: Path) -> None:
        """As Prophet's JSON."""
        (folder / _FILE).write_text(prophet_model.to_json(model), encoding="utf-8")

    def load(self, folder: Path) -> Any:
        """The reverse of `save`."""
        return prophet_model.from_json((folder / _FILE).read_text(encoding="utf-8"))

    def requests(self, holdout: pd.DataFrame) -> Sequence[Request]:
        """The dates of the hold-out."""
        return [{"future": [{DATE: iso(moment)} for moment in holdout[DATE]]}]

    def answer(self, model: Any, requests: Sequence[Request]) -> Sequence[Answer]:
        """`Prophet.predict`: date, forecast and band."""
        return [
            {"predictions": prophet_model.predict(model, _dates(model, asked))}
            for asked in requests
        ]

    def truth(self, holdout: pd.DataFrame) -> Array:
        """What came true, [n]."""
        return holdout[VALUE].to_numpy()

    def predicted(self, answers: Sequence[Answer]) -> Array:
        """The forecasts, [n]."""
        return np.array([row["yhat"] for answer in answers for row in answer["predictions"]])

    def measure(self, model: Any, material: Material) -> Measured:
        """Coverage of the band, backtests and baselines; plots."""
        train, holdout, params = material.train, material.holdout, material.params
        horizon = len(holdout)
        predicted = pd.DataFrame(prophet_model.predict(model, holdout[DATE])).assign(
            **{DATE: holdout[DATE].to_numpy()}
        )
        truth = self.truth(holdout)
        lower, upper = (predicted[name].to_numpy() for name in BAND)
        folds = {"horizon": horizon, "folds": int(params["backtest_folds"])}

        baselines = {}
        naives = {"seasonal_naive": seasonal_naive(season(frequency(train[DATE]))), "naive": naive}
        for name, forecaster in naives.items():
            guesses = [{"predictions": [{"yhat": v} for v in forecaster(train, holdout[DATE])]}]
            baselines[name] = {
                **score(self, holdout, guesses),
                **backtest(train, forecaster, _ABOUT.metrics, **folds),
            }
        _draw(model, material, predicted)
        return Measured(
            metrics={
                "coverage": metrics.coverage(truth, lower, upper),
                **self.validated(train, params, seed=material.seed),
            },
            baselines=baselines,
        )

    def validated(self, train: pd.DataFrame, params: Values, *, seed: int) -> Mapping[str, float]:
        """A rolling-origin backtest: fitted again at each origin, on what came before it."""

        def refit(before: pd.DataFrame, dates: pd.Series[pd.Timestamp]) -> Array:
            fitted = prophet_model.fit(before, params, seed=seed, samples=0)
            values: Array = fitted.predict(pd.DataFrame({DATE: dates}))["yhat"].to_numpy()
            return values

        return backtest(
            train,
            refit,
            _ABOUT.metrics,
            horizon=int(params["holdout_days"]),
            folds=int(params["backtest_folds"]),
        )

    def package(self, model: Any, material: Material, folder: Path) -> Packaged:
        """MLflow's prophet model, whose JSON is what serving evaluates."""
        example = material.holdout[[DATE]].head(3).reset_index(drop=True)
        save_model(
            "prophet",
            model,
            folder,
            run_id=material.run_id,
            example=example,
            answer=model.predict(example)[[DATE, "yhat", *BAND]],
            requirements=pinned("prophet", "pandas", "numpy"),
        )
        requests: list[Request] = [
            {"horizon": 1},
            {"horizon": _GOLDEN_HORIZON},
            *self.requests(material.holdout.head(3)),
        ]
        examples = [
            {
                "request": asked,
                "response": {
                    "predictions": [
                        {DATE: row[DATE], "yhat": row["yhat"]} for row in answer["predictions"]
                    ]
                },
            }
            for asked, answer in zip(requests, self.answer(model, requests), strict=True)
        ]
        return Packaged(
            engine="prophet",
            model_file="model.pr",
            schema={
                "inputs": [{"name": DATE, "type": "datetime", "required": True}],
                "outputs": [
                    {"name": DATE, "type": "datetime"},
                    *({"name": name, "type": "double"} for name in ("yhat", *BAND)),
                ],
                "example": {"horizon": _GOLDEN_HORIZON},
                "calendar": {
                    "last": iso(material.train[DATE].iloc[-1]),
                    "frequency": frequency(material.train[DATE]),
                },
            },
            golden=Golden(tuple(examples), rtol=1e-6, atol=1e-6),
        )


def _dates(model: Any, asked: Request) -> pd.Series[pd.Timestamp]:
    """The dates of a request: given, or as many as wanted after the last one learnt from."""
    if "future" in asked:
        return pd.Series(pd.to_datetime([row[DATE] for row in asked["future"]]))
    history = model.history[DATE]
    return pd.Series(following(history.iloc[-1], frequency(history), asked["horizon"]))


def _draw(model: Any, material: Material, predicted: pd.DataFrame) -> None:
    """Forecast, components and residuals, below `plots/`."""
    folder, holdout = material.artifacts / "plots", material.holdout
    title = f"Forecast of {len(holdout)} observations it never saw"
    plots.forecast(
        material.train.tail(_SHOWN_ROWS), holdout, predicted, title, folder / "forecast.png"
    )
    errors = holdout[VALUE].to_numpy() - predicted["yhat"].to_numpy()
    plots.residuals([*holdout[DATE]], errors, folder / "residuals.png")
    learnt = model.predict(material.train[[DATE]])
    parts = {"trend": pd.DataFrame({"x": learnt[DATE], "y": learnt["trend"]})}
    if "weekly" in learnt:
        days = learnt.groupby(learnt[DATE].dt.day_of_week)["weekly"].mean()
        names = learnt[DATE].dt.strftime("%a").groupby(learnt[DATE].dt.day_of_week).first()
        parts["weekly"] = pd.DataFrame({"x": names, "y": days})
    if "yearly" in learnt:
        year = learnt[learnt[DATE] > learnt[DATE].iloc[-1] - pd.Timedelta(days=365)]
        parts["yearly"] = pd.DataFrame({"x": year[DATE], "y": year["yearly"]})
    plots.components(parts, folder / "components.png")


WORKLOAD = Petr4()
