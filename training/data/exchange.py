"""When an exchange is open: which days have prices, and whether today's are final.

From the calendars of `exchange_calendars`, which know holidays and short days; by the suffix that
Yahoo gives a ticker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pandas as pd

# Suffix of a ticker → ISO 10383 code of its exchange.
_CODES: Mapping[str, str] = {
    "": "XNYS",
    "SA": "BVMF",
    "L": "XLON",
    "DE": "XFRA",
    "PA": "XPAR",
    "TO": "XTSE",
    "T": "XTKS",
    "HK": "XHKG",
}


@dataclass(frozen=True)
class Exchange:
    """One of them; `code` as XNYS or BVMF."""

    code: str

    @classmethod
    def of(cls, ticker: str) -> Self | None:
        """The exchange of a ticker as PETR4.SA, or None where it is not known here."""
        if any(sign in ticker for sign in "=^"):
            return None  # a currency, a future or an index
        code = _CODES.get(ticker.partition(".")[2].upper())
        return cls(code) if code else None

    def final(self, dates: pd.Series[pd.Timestamp], now: pd.Timestamp) -> pd.Series[bool]:
        """Whether each day's trading was over at `now` (with a time zone); [n].

        A day on which the calendar knows no trading counts as over when the day is.
        """
        midnights = (dates + pd.Timedelta(days=1)).dt.tz_localize(self._calendar.tz)
        closes = dates.map(self._calendar.closes)
        return closes.where(closes.notna(), midnights.dt.tz_convert("UTC")) <= now

    def missing(self, dates: pd.Series[pd.Timestamp]) -> pd.DatetimeIndex:
        """Days of trading between the first and the last of `dates` that are not among them."""
        known = self._calendar.sessions
        within = known[(known >= dates.iloc[0]) & (known <= dates.iloc[-1])]
        return pd.DatetimeIndex(within.difference(pd.DatetimeIndex(dates)))

    def sessions(self, first: pd.Timestamp, last: pd.Timestamp) -> int:
        """How many days of trading there are from `first` to `last`, both included."""
        known = self._calendar.sessions
        return int(((known >= first) & (known <= last)).sum())

    @cached_property
    def _calendar(self) -> Any:
        import exchange_calendars  # noqa: PLC0415 - most trainings never need it

        return exchange_calendars.get_calendar(self.code)
