"""Daily prices from Yahoo Finance through yfinance; needs a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from registry.errors import DataInvalid, StepFailed, UsageError
from training.data.dataset import DATE, VALUE, Dataset, Field, select

_PERIOD = "10y"


def _history(ticker: str) -> pd.DataFrame:
    """Ten years of daily rows, prices adjusted for splits and dividends."""
    import yfinance  # noqa: PLC0415 - slow, and most trainings never need it

    frame: pd.DataFrame = yfinance.Ticker(ticker).history(period=_PERIOD, auto_adjust=True)
    return frame


@dataclass(frozen=True)
class Yahoo:
    """Any ticker Yahoo knows, as PETR4.SA; `history` answers like `yfinance.Ticker.history`."""

    name: str = "yahoo"
    history: Callable[[str], pd.DataFrame] = _history

    def check(self, series: str) -> None:
        """Raise UsageError without a ticker; whether it exists is only known on loading."""
        if not series:
            raise UsageError("source yahoo: expected a ticker; add --series PETR4.SA")

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Fetch `y` (adjusted close), open, high, low and volume by date `ds`."""
        self.check(series)
        try:
            raw = self.history(series)
        except Exception as error:
            raise StepFailed(
                f"yahoo {series}: could not be fetched ({type(error).__name__}: {error}); "
                "check the connection, or train on a bundled series with --source sample"
            ) from error
        if raw is None or raw.empty:
            raise DataInvalid(
                f"yahoo {series}: no rows; check the ticker (as PETR4.SA) and the connection"
            )
        table = raw.rename_axis(DATE).reset_index().rename(columns={"Close": VALUE})
        table[DATE] = pd.to_datetime(table[DATE]).dt.tz_localize(None).dt.normalize()
        table.index = pd.RangeIndex(1, len(table) + 1)
        return Dataset(
            frame=select(table, fields, origin=f"yahoo {series}"),
            name=series,
            source=self.name,
            credit="Yahoo Finance, through yfinance",
            origin=f"Yahoo Finance, {series}, {_PERIOD} of daily adjusted closing prices",
        )
