"""Daily prices from Yahoo Finance through yfinance; needs a network the first time.

What was fetched is kept as Parquet, and only the last days are asked for again. Prices are adjusted
for splits and dividends by Yahoo, all of them anew after each: where the days that overlap differ
from what was kept, everything is fetched again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from registry.errors import DataInvalid, StepFailed, UsageError
from training.data.dataset import DATE, VALUE, Dataset, Field, iso, select
from training.data.exchange import Exchange

_YEARS = 10
_OVERLAP = pd.Timedelta(days=14)
# Adjusted prices are rounded by Yahoo, a dividend moves them by more.
_SAME = 1e-4
_WAITS = (1.0, 4.0)
_MOST_MISSING = 0.01

_log = logging.getLogger(__name__)

# A ticker and the first day wanted → daily rows by day, as `yfinance.Ticker.history` answers.
History = Callable[[str, pd.Timestamp], pd.DataFrame]


def _history(ticker: str, first: pd.Timestamp) -> pd.DataFrame:
    import yfinance  # noqa: PLC0415 - slow, and most trainings never need it

    frame: pd.DataFrame = yfinance.Ticker(ticker).history(start=iso(first), auto_adjust=True)
    return frame


def _now() -> pd.Timestamp:
    return pd.Timestamp.now(tz="UTC")


@dataclass(frozen=True, kw_only=True)
class Yahoo:
    """Any ticker Yahoo knows, as PETR4.SA; ten years of it. `cache` is where it is kept."""

    cache: Path | None = None
    name: str = "yahoo"
    history: History = _history
    now: Callable[[], pd.Timestamp] = _now
    wait: Callable[[float], None] = time.sleep

    def check(self, series: str) -> None:
        """Raise UsageError without a ticker; whether it exists is only known on loading."""
        if not series:
            raise UsageError("source yahoo: expected a ticker; add --series PETR4.SA")
        if "/" in series or series.startswith("."):
            raise UsageError(f"source yahoo: expected a ticker as PETR4.SA, got {series!r}")

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Fetch `y` (adjusted close), open, high, low and volume by date `ds`.

        Today is left out while the exchange is open. Raises DataInvalid for a ticker without rows
        or with days missing, StepFailed where Yahoo cannot be reached and nothing was kept.
        """
        self.check(series)
        table, kept = self._refreshed(series)
        self._complete(series, table)
        table = table.rename(columns={"Close": VALUE})
        table.index = pd.RangeIndex(1, len(table) + 1)
        until = f", kept until {iso(table[DATE].iloc[-1])}: out of reach" if kept else ""
        return Dataset(
            frame=select(table, fields, origin=f"yahoo {series}"),
            name=series,
            source=self.name,
            credit="Yahoo Finance, through yfinance",
            origin=f"Yahoo Finance, {series}, {_YEARS} years of daily adjusted prices{until}",
        )

    def _refreshed(self, series: str) -> tuple[pd.DataFrame, bool]:
        """Rows from the first day wanted, and whether they are only what was kept."""
        first = (self.now() - pd.DateOffset(years=_YEARS)).tz_localize(None).normalize()
        known = self._kept(series)
        try:
            table = self._extended(series, known, first)
        except StepFailed as away:
            if known is None:
                raise
            _log.warning("%s; going on with what was kept", away)
            return known, True
        self._keep(series, table)
        return table[table[DATE] >= first], False

    def _extended(
        self, series: str, known: pd.DataFrame | None, first: pd.Timestamp
    ) -> pd.DataFrame:
        """What is known, with the days since; or everything, where it was adjusted anew."""
        if known is None or known[DATE].iloc[0] > first + _OVERLAP:
            return self._fetched(series, first)
        since = known[DATE].iloc[-1] - _OVERLAP
        fresh = self._fetched(series, since)
        both = known.merge(fresh, on=DATE, suffixes=("_known", ""))
        moved = (both["Close_known"] / both["Close"] - 1).abs()
        if both.empty or (moved > _SAME).any():
            return self._fetched(series, first)
        before: pd.DataFrame = known[known[DATE] < fresh[DATE].iloc[0]]
        return pd.concat([before, fresh], ignore_index=True)

    def _fetched(self, series: str, first: pd.Timestamp) -> pd.DataFrame:
        """Rows of finished days, dates as the exchange's; Yahoo is asked again when it refuses."""
        for pause in (*_WAITS, None):
            try:
                raw = self.history(series, first)
                break
            except Exception as error:
                if pause is not None:
                    self.wait(pause)
                    continue
                raise StepFailed(
                    f"yahoo {series}: could not be fetched ({type(error).__name__}: {error}) in "
                    f"{len(_WAITS) + 1} attempts; check the connection, or train on a bundled "
                    "series with --source sample"
                ) from error
        if raw is None or raw.empty:
            raise DataInvalid(
                f"yahoo {series}: no rows; check the ticker (as PETR4.SA) and the connection"
            )
        table = raw.rename_axis(DATE).reset_index()
        table[DATE] = pd.to_datetime(table[DATE]).dt.tz_localize(None).dt.normalize()
        table = table[self._final(series, table[DATE])]
        if table.empty:
            raise DataInvalid(f"yahoo {series}: no day whose trading is over")
        return table.reset_index(drop=True)

    def _final(self, series: str, dates: pd.Series[pd.Timestamp]) -> pd.Series[bool]:
        """Whether each day's trading is over: before that its prices are not final."""
        exchange = Exchange.of(series)
        if exchange is None:
            return dates < self.now().tz_localize(None).normalize()
        return exchange.final(dates, self.now())

    def _complete(self, series: str, table: pd.DataFrame) -> None:
        """Raise DataInvalid where more days are missing than an exchange stays closed for."""
        exchange = Exchange.of(series)
        if exchange is None:
            return
        missing = exchange.missing(table[DATE])
        days = exchange.sessions(table[DATE].iloc[0], table[DATE].iloc[-1])
        if len(missing) > _MOST_MISSING * days:
            raise DataInvalid(
                f"yahoo {series}: {len(missing)} of {days} days of trading ({exchange.code}) are "
                f"missing, the first {iso(missing[0])}; try again later"
            )

    def _file(self, series: str) -> Path | None:
        return self.cache / "yahoo" / f"{series}.parquet" if self.cache else None

    def _kept(self, series: str) -> pd.DataFrame | None:
        """What was fetched before; a file that cannot be read counts for nothing."""
        file = self._file(series)
        if file is None or not file.is_file():
            return None
        try:
            return pd.read_parquet(file)
        except (OSError, ValueError) as error:
            _log.warning("%s: unreadable, fetched anew: %s", file, error)
            return None

    def _keep(self, series: str, table: pd.DataFrame) -> None:
        """Replace what is kept, in one step."""
        file = self._file(series)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{time.time_ns()}")
        table.to_parquet(draft)
        draft.replace(file)
