"""Naive forecasts, and the rolling-origin backtest that everything is held against.

A backtest moves the origin back through the training part, one horizon at a time: at each origin a
forecast is made from what came before it alone, and compared with what came after. Hyndman &
Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., sections 5.2 and 5.10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from training.data.dataset import DATE, VALUE
from training.workload import Array, Metric

# What came before the origin, and the dates to forecast [h] → forecasts [h].
Forecaster = Callable[[pd.DataFrame, "pd.Series[pd.Timestamp]"], Array]


def naive(train: pd.DataFrame, dates: pd.Series[pd.Timestamp]) -> Array:
    """The last value, forever: the best there is for a random walk."""
    return np.full(len(dates), train[VALUE].iloc[-1])


def seasonal_naive(season: int) -> Forecaster:
    """The last season of `season` observations, over and over; the whole history if shorter."""

    def forecast(train: pd.DataFrame, dates: pd.Series[pd.Timestamp]) -> Array:
        last: Array = train[VALUE].to_numpy()[-season:]
        return np.resize(last, len(dates))

    return forecast


def backtest(
    train: pd.DataFrame,
    forecaster: Forecaster,
    metrics: Mapping[str, Metric],
    *,
    horizon: int,
    folds: int,
) -> dict[str, float]:
    """`backtest_<metric>` over all forecasts of all folds together; empty without folds."""
    truth, predicted = [], []
    for fold in range(folds):
        end = len(train) - fold * horizon
        before, after = train.iloc[: end - horizon], train.iloc[end - horizon : end]
        truth.append(after[VALUE].to_numpy())
        predicted.append(forecaster(before, after[DATE]))
    if not truth:
        return {}
    both = np.concatenate(truth), np.concatenate(predicted)
    return {f"backtest_{name}": float(metric(*both)) for name, metric in metrics.items()}
