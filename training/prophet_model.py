"""Prophet behind three functions: fit, predict, and the JSON it is kept as.

The library is imported when it is needed (that takes a second) and kept quiet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from training.data.dataset import DATE, VALUE, iso
from training.parameter import Parameter, Range, Values

BAND = ("yhat_lower", "yhat_upper")
SWITCH = {"auto": "auto", "true": True, "false": False}
# Prophet's own parameters, under its names. What a search tries is what its documentation advises.
PARAMETERS = (
    Parameter(
        name="changepoint_prior_scale",
        default=0.05,
        minimum=1e-6,
        help="How freely the trend may bend.",
        search=Range(0.001, 0.5, log=True),
    ),
    Parameter(
        name="seasonality_prior_scale",
        default=10.0,
        minimum=1e-6,
        help="How strong seasons may be.",
        search=Range(0.01, 10.0, log=True),
    ),
    Parameter(
        name="seasonality_mode",
        default="additive",
        choices=("additive", "multiplicative"),
        help="Seasons add or multiply.",
        search=("additive", "multiplicative"),
    ),
    Parameter(
        name="growth", default="linear", choices=("linear", "flat"), help="Shape of the trend."
    ),
    Parameter(
        name="yearly_seasonality",
        default="auto",
        choices=tuple(SWITCH),
        help="Whether there is a season of a year.",
    ),
    Parameter(
        name="weekly_seasonality",
        default="auto",
        choices=tuple(SWITCH),
        help="Whether there is a season of a week.",
    ),
    Parameter(
        name="interval_width",
        default=0.8,
        minimum=0.01,
        maximum=0.99,
        help="Share of the future the band should hold.",
    ),
)


def fit(train: pd.DataFrame, params: Values, *, seed: int, samples: int) -> Any:
    """A Prophet fitted to `train`; `samples` futures make its band, 0 for none."""
    with _quiet():
        model = _prophet().Prophet(
            growth=params["growth"],
            changepoint_prior_scale=params["changepoint_prior_scale"],
            seasonality_prior_scale=params["seasonality_prior_scale"],
            seasonality_mode=params["seasonality_mode"],
            yearly_seasonality=SWITCH[str(params["yearly_seasonality"])],
            weekly_seasonality=SWITCH[str(params["weekly_seasonality"])],
            daily_seasonality=False,
            interval_width=params["interval_width"],
            uncertainty_samples=samples,
        )
        return model.fit(train[[DATE, VALUE]].reset_index(drop=True), seed=seed)


def predict(model: Any, dates: pd.Series[pd.Timestamp]) -> list[dict[str, Any]]:
    """Rows of date, forecast and band."""
    answered = model.predict(pd.DataFrame({DATE: dates.to_numpy()}))
    columns = [answered[name].tolist() for name in ("yhat", *BAND)]
    rows = zip(answered[DATE], *columns, strict=True)
    return [dict(zip((DATE, "yhat", *BAND), (iso(d), *v), strict=True)) for d, *v in rows]


def to_json(model: Any) -> str:
    """A fitted model as Prophet's own JSON; floats survive it exactly."""
    text: str = _prophet().serialize.model_to_json(model)
    return text


def from_json(text: str) -> Any:
    """The reverse of `to_json`."""
    return _prophet().serialize.model_from_json(text)


def _prophet() -> Any:
    """The library, imported when needed: it takes a second, and complains of a missing plotly."""
    with _quiet():
        import prophet.serialize  # noqa: PLC0415 - see above

        return prophet


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress of Prophet and its optimiser out of the log while the block runs."""
    loggers = [logging.getLogger(name) for name in ("cmdstanpy", "prophet", "prophet.plot")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
