"""Metric functions against values worked out by hand or by scikit-learn; baselines and backtest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from training import metrics
from training.baselines import backtest, naive, seasonal_naive

TRUTH = np.array([1.0, 2.0, 4.0])
PREDICTED = np.array([2.0, 2.0, 2.0])


def test_errors_of_a_forecast_by_hand() -> None:
    """Mape is in percent."""
    assert metrics.mae(TRUTH, PREDICTED) == pytest.approx(1.0)
    assert metrics.rmse(TRUTH, PREDICTED) == pytest.approx(np.sqrt(5 / 3))
    assert metrics.mape(TRUTH, PREDICTED) == pytest.approx(50.0)


def test_coverage_counts_the_edges() -> None:
    """Two of three inside."""
    assert metrics.coverage(TRUTH, np.array([1, 0, 0]), np.array([2, 3, 3])) == pytest.approx(2 / 3)


def test_scores_of_a_classifier_are_scikit_learns_macro_averages() -> None:
    """Also for a class that is never predicted."""
    random = np.random.default_rng(7)
    truth = random.integers(0, 4, 200)
    predicted = np.where(random.random(200) < 0.6, truth, random.integers(0, 3, 200))
    named = {"average": "macro", "zero_division": 0}
    assert metrics.accuracy(truth, predicted) == reference.accuracy_score(truth, predicted)
    assert metrics.precision(truth, predicted) == pytest.approx(
        reference.precision_score(truth, predicted, **named)
    )
    assert metrics.recall(truth, predicted) == pytest.approx(
        reference.recall_score(truth, predicted, **named)
    )
    assert metrics.f1_score(truth, predicted) == pytest.approx(
        reference.f1_score(truth, predicted, **named)
    )


def test_explained_variance_is_scikit_learns_r2() -> None:
    """Below 0 for what is worse than the mean; defined without any variance."""
    random = np.random.default_rng(8)
    truth = random.normal(size=50)
    for predicted in (truth + random.normal(size=50) / 2, -truth, np.full(50, truth.mean())):
        assert metrics.r2(truth, predicted) == pytest.approx(reference.r2_score(truth, predicted))
    flat = np.ones(3)
    assert metrics.r2(flat, flat) == 1.0
    assert metrics.r2(flat, flat + 1) == 0.0


def series(values: list[float]) -> pd.DataFrame:
    """A daily frame of these values."""
    dates = pd.date_range("2024-01-01", periods=len(values))
    return pd.DataFrame({"ds": dates, "y": values})


def test_naive_repeats_the_last_value_and_seasonal_naive_the_last_season() -> None:
    """Over horizons longer than a season too."""
    train = series([1.0, 2.0, 3.0, 4.0])
    dates = pd.Series(pd.date_range("2024-01-05", periods=5))
    assert naive(train, dates).tolist() == [4.0] * 5
    assert seasonal_naive(3)(train, dates).tolist() == [2.0, 3.0, 4.0, 2.0, 3.0]


def test_a_backtest_never_shows_what_it_asks_for() -> None:
    """Each origin sees only what came before it, and all folds count alike."""
    seen: list[tuple[int, float]] = []

    def spy(before: pd.DataFrame, dates: pd.Series[pd.Timestamp]) -> np.ndarray:
        assert before["ds"].max() < dates.min()
        seen.append((len(before), before["y"].iloc[-1]))
        return naive(before, dates)

    train = series([float(i) for i in range(1, 11)])
    got = backtest(train, spy, {"mae": metrics.mae}, horizon=2, folds=3)
    assert seen == [(8, 8.0), (6, 6.0), (4, 4.0)]
    assert got == {"backtest_mae": pytest.approx(1.5)}


def test_no_folds_no_backtest() -> None:
    """Nothing is measured, nothing is claimed."""
    assert backtest(series([1.0]), naive, {"mae": metrics.mae}, horizon=1, folds=0) == {}
