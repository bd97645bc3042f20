"""The job of `POST /predict-custom`: learn from the caller's own series, forecast it, forget it.

The network is that of `stock_lstm` on one column; its run is in the same experiment. Nothing is
registered: the forecast is the job's result.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from registry.job_bodies import SeriesBody
from registry.settings import Settings
from training import apart, shares, window_network
from training.jobs.channel import Channel
from training.jobs.task import Asked
from training.metrics import rmse
from training.parameter import Values
from training.share_forecaster import Forecaster, learn
from training.tracked_run import TrackedRun
from training.tracking import Tracking
from training.workload import Array
from training.workloads import get

_WORKLOAD: Final = "stock_lstm"
_SEED: Final = 42
_ASKED_TOGETHER: Final = 256


def custom(asked: Asked, channel: Channel, settings: Settings) -> Mapping[str, Any]:
    """Learn and forecast; the members of an `Outcome`."""
    body = SeriesBody.of(asked.body)
    about = get(_WORKLOAD).about
    apart.hand_over(about, sys.argv[1:])
    apart.require(about)
    run = TrackedRun.start(
        Tracking(settings),
        settings.experiment_name or about.experiment,
        run_name="predict_custom",
        tags={
            "environment": settings.environment,
            "data_source": "request",
            "ticker": body.ticker,
            **asked.tags,
        },
    )
    with run.ending():
        channel.tell(step="fit", progress=0.1, run_id=run.run_id)
        run.log_params(
            {
                "ticker_name": body.ticker,
                "endpoint": f"/{asked.kind}",
                "historical_data_points": len(body.data),
                "last_known_price": body.data[-1],
                "seq_length": body.seq_length,
                "epochs": body.epochs,
                "learning_rate": body.learning_rate,
                "days": body.days,
            }
        )
        forecaster = fitted(body)
        channel.tell(step="evaluate", progress=0.8)
        metrics = measured(forecaster, body)
        run.log_metrics(metrics)
        run.log_curves(forecaster.curves)
        channel.tell(metrics=metrics)
        told = forecaster.told(_rows(body)[None, -body.seq_length :])["yhat"][0]
        days = {f"prediction_day_{day}": float(one) for day, one in enumerate(told, 1)}
        run.log_metrics(days)
    sizes = {"train_size": body.train_size, "test_size": len(body.data) - body.train_size}
    return {
        "result": {
            "ticker": body.ticker,
            "historical_data_points": len(body.data),
            "last_known_price": body.data[-1],
            **sizes,
            **metrics,
            **days,
        }
    }


def fitted(body: SeriesBody) -> Forecaster:
    """Learnt from the first part of the series."""
    rows = _rows(body)[: body.train_size]
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "y", "volume"])
    params: Values = {
        "seq_length": body.seq_length,
        "epochs": body.epochs,
        "learning_rate": body.learning_rate,
        "days": body.days,
        "hidden_size": 64,
        "num_layers": 2,
        "strategy": "direct",
    }
    return learn(frame, params, seed=_SEED)


def measured(forecaster: Forecaster, body: SeriesBody) -> dict[str, float]:
    """Errors of all days that are told, in both parts, and of repeating the last value."""
    rows, length, days = _rows(body), body.seq_length, body.days
    closes = rows[:, [shares.CLOSE]]
    seen = window_network.windows(rows, length)[:-days]
    truth = window_network.windows(closes[length:], days)[:, :, 0]
    parts = range(0, len(seen), _ASKED_TOGETHER)
    told = np.concatenate(
        [forecaster.told(seen[at : at + _ASKED_TOGETHER])["yhat"] for at in parts]
    )
    naive = np.repeat(seen[:, -1, shares.CLOSE][:, None], days, axis=1)
    first = body.train_size - length  # the first window all whose days are judged on
    known = slice(0, first - days + 1)
    return {
        "train_rmse": rmse(truth[known], told[known]),
        "test_rmse": rmse(truth[first:], told[first:]),
        "naive_test_rmse": rmse(truth[first:], naive[first:]),
    }


def _rows(body: SeriesBody) -> Array:
    """The series as rows of a share that has one price a day, [n, 5]."""
    prices = np.repeat(np.array(body.data)[:, None], 4, axis=1)
    return np.column_stack([prices, np.zeros(len(body.data))])
