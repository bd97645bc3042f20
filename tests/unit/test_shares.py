"""A share's rows as a forecaster is asked about them, and as its network sees them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from registry.errors import DataInvalid
from training import shares, window_network
from training.data.dataset import DATE, VALUE
from training.data.sample import Sample
from training.window_network import Shape
from training.workloads.stock_lstm import WORKLOAD

SHAPE = Shape(length=3, days=2, hidden=4, layers=1)


def frame(count: int) -> pd.DataFrame:
    """Business days whose close is the number of the row."""
    closes = np.arange(1.0, count + 1)
    return pd.DataFrame(
        {
            DATE: pd.bdate_range("2026-01-05", periods=count),
            VALUE: closes,
            "open": closes - 0.5,
            "high": closes + 1,
            "low": closes - 0.75,
            "volume": closes * 10,
        }
    )


def test_each_origin_sees_what_came_before_it_and_is_judged_by_what_came_after() -> None:
    table = frame(shares.ROWS + shares.DAYS + shares.BETWEEN)
    first, second = shares.requests(table)
    assert (len(first["history"]), first["horizon"]) == (shares.ROWS, shares.DAYS)
    assert [one["history"][-1]["close"] for one in (first, second)] == [120, 125]
    assert first["history"][0] == {
        DATE: "2026-01-05",
        "open": 0.5,
        "high": 2.0,
        "low": 0.25,
        "close": 1.0,
        "volume": 10.0,
    }
    assert shares.truth(table).tolist() == [*range(121, 131), *range(126, 136)]


def test_a_day_less_is_an_origin_less() -> None:
    assert len(shares.requests(frame(shares.ROWS + shares.DAYS))) == 1
    assert shares.requests(frame(shares.ROWS + shares.DAYS - 1)) == []


def test_windows_follow_each_other_and_hold_rows_in_their_order() -> None:
    rows = shares.values(frame(5))
    found = window_network.windows(rows, 3)
    assert found.shape == (3, 3, 5)
    assert (found[1] == rows[1:4]).all()


def test_targets_are_what_came_after_each_window() -> None:
    rows = shares.values(frame(6))
    direct, stepwise = window_network.targets(rows, SHAPE)
    assert direct.shape == (2, 2)
    assert np.exp(direct[0]).tolist() == pytest.approx([4 / 3, 5 / 3])
    assert np.exp(direct[1]).tolist() == pytest.approx([5 / 4, 6 / 4])
    assert np.exp(stepwise[0, :4]).tolist() == pytest.approx([3.5 / 3, 5 / 3, 3.25 / 3, 4 / 3])


def test_the_next_row_is_made_again_of_its_target() -> None:
    """What the stepwise head learns is what a path is made of."""
    rows = shares.values(frame(6))
    _, stepwise = window_network.targets(rows, SHAPE)
    seen = window_network.windows(rows, SHAPE.length)[: len(stepwise)]
    assert window_network._row(seen, stepwise) == pytest.approx(rows[3:5])


def test_features_do_not_know_how_dear_a_share_is() -> None:
    rows = shares.values(frame(5))
    dear = rows * [100, 100, 100, 100, 1]
    found, again = (window_network.features(window_network.windows(r, 3)) for r in (rows, dear))
    assert found == pytest.approx(again)
    assert (found[:, -1, shares.CLOSE] == 0).all()


@pytest.mark.parametrize("ticker", ["MSFT", "IBM", "AAPL"])
def test_the_bundled_shares_fit_the_workload(ticker: str) -> None:
    about = WORKLOAD.about
    data = Sample().load(ticker, about.fields)
    params = {one.name: one.default for one in about.parameters}
    parts = WORKLOAD.split(data.frame, params, seed=1)
    assert (len(parts.train), len(parts.holdout)) == (2616, 654)
    changes = data.frame[VALUE].pct_change().abs()
    assert changes.max() < 0.6, "a split is no fall"
    assert ((data.frame["high"] / data.frame["low"]) < 1.5).all()


def test_prices_on_two_scales_are_refused_by_their_row() -> None:
    table = frame(600).set_index(pd.RangeIndex(1, 601))
    table.loc[7, VALUE] = 70
    params = {one.name: one.default for one in WORKLOAD.about.parameters}
    with pytest.raises(DataInvalid, match="row 7: y: expected a close between low 6.25 and high 8"):
        WORKLOAD.split(table, params, seed=1)
