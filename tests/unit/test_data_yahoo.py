"""Prices from Yahoo: what is kept, what is asked for again, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from registry.errors import DataInvalid, StepFailed, UsageError
from training.data.dataset import VALUE, Field
from training.data.exchange import Exchange
from training.data.yahoo import Yahoo

FIELDS = (Field("ds", "date"), Field(VALUE, "number", ("close",)))
# A Friday evening, after the exchanges of both Americas have closed.
EVENING = pd.Timestamp("2026-10-30T22:00Z")


@dataclass
class Market:
    """Yahoo, as `yfinance.Ticker.history` answers for it, until `now`.

    Every price before `split` is shown divided by two once that day has come. `refusals` are made
    first.
    """

    now: pd.Timestamp = EVENING
    zone: str = "America/Sao_Paulo"
    code: str = "BVMF"
    split: pd.Timestamp | None = None
    gone: tuple[str, str] | None = None
    refusals: list[Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def history(self, _: str, first: pd.Timestamp) -> pd.DataFrame:
        self.asked.append(f"{first:%Y-%m-%d}")
        if self.refusals:
            raise self.refusals.pop(0)
        calendar = Exchange(self.code)._calendar
        days = calendar.sessions[
            (calendar.sessions >= first)
            & (calendar.sessions <= self.now.tz_convert(self.zone).tz_localize(None))
        ]
        if self.gone is not None:
            days = days[(days < self.gone[0]) | (days > self.gone[1])]
        close = 10.0 + days.dayofyear.to_numpy() / 100
        today = days == self.now.tz_convert(self.zone).tz_localize(None).normalize()
        close = np.where(today & (self.now < calendar.closes.reindex(days)), close / 3, close)
        if self.split is not None and self.now.tz_localize(None) >= self.split:
            close = np.where(days < self.split, close / 2, close)
        return pd.DataFrame({"Close": close, "Volume": 1}, index=days.tz_localize(self.zone))

    def source(self, cache: Path | None = None) -> Yahoo:
        return Yahoo(
            cache=cache, history=self.history, now=lambda: self.now, wait=self.waits.append
        )


def test_prices_become_dates_and_values() -> None:
    """The day at the exchange, without its time zone; ten years of it."""
    data = Market().source().load("PETR4.SA", FIELDS)
    assert (data.name, data.source, data.last_date) == ("PETR4.SA", "yahoo", "2026-10-30")
    assert str(data.frame["ds"].iloc[0].date()) == "2016-10-31"
    assert data.frame[VALUE].iloc[-1] == pytest.approx(13.03)
    assert data.frame.index[0] == 1


def test_a_day_that_is_not_over_is_left_out() -> None:
    """Half a day's last price is no closing price."""
    market = Market(now=pd.Timestamp("2026-10-30T15:00Z"))
    assert market.source().load("PETR4.SA", FIELDS).last_date == "2026-10-29"
    market.now = EVENING
    assert market.source().load("PETR4.SA", FIELDS).last_date == "2026-10-30"


def test_what_was_kept_is_extended(tmp_path: Path) -> None:
    """Only the last days are asked for, and the result is that of asking for all."""
    market = Market(now=EVENING - pd.Timedelta(days=30))
    market.source(tmp_path).load("PETR4.SA", FIELDS)
    market.now = EVENING
    data = market.source(tmp_path).load("PETR4.SA", FIELDS)
    assert market.asked == ["2016-09-30", "2026-09-16"]
    assert data.fingerprint == Market().source().load("PETR4.SA", FIELDS).fingerprint


def test_half_a_day_is_not_kept(tmp_path: Path) -> None:
    """Else the next day's prices would look as if they had been adjusted."""
    market = Market(now=pd.Timestamp("2026-10-29T15:00Z"))
    market.source(tmp_path).load("PETR4.SA", FIELDS)
    market.now = EVENING
    data = market.source(tmp_path).load("PETR4.SA", FIELDS)
    assert len(market.asked) == 2
    assert data.fingerprint == Market().source().load("PETR4.SA", FIELDS).fingerprint


def test_after_a_split_everything_is_fetched_again(tmp_path: Path) -> None:
    """Yahoo adjusts all earlier prices; what was kept is on another scale."""
    split = pd.Timestamp("2026-10-20")
    market = Market(now=EVENING - pd.Timedelta(days=30), split=split)
    before = market.source(tmp_path).load("PETR4.SA", FIELDS)
    market.now = EVENING
    after = market.source(tmp_path).load("PETR4.SA", FIELDS)
    assert len(market.asked) == 3
    assert after.fingerprint == Market(split=split).source().load("PETR4.SA", FIELDS).fingerprint
    later = after.frame.set_index("ds")[VALUE]
    earlier = before.frame.set_index("ds")[VALUE]
    assert (later / earlier).dropna().to_numpy() == pytest.approx(0.5)


def test_out_of_reach_it_goes_on_with_what_was_kept_and_says_so(tmp_path: Path) -> None:
    market = Market(now=EVENING - pd.Timedelta(days=30))
    before = market.source(tmp_path).load("PETR4.SA", FIELDS)
    market.now, market.refusals = EVENING, [ConnectionError("no route")] * 3
    after = market.source(tmp_path).load("PETR4.SA", FIELDS)
    assert after.fingerprint == before.fingerprint
    assert "kept until 2026-09-30: out of reach" in after.origin
    assert "kept" not in before.origin


def test_no_network_and_nothing_kept_is_a_failed_step_that_says_what_to_do() -> None:
    """Not a traceback; and it was tried three times."""
    market = Market(refusals=[ConnectionError("no route")] * 3)
    with pytest.raises(StepFailed, match=r"no route\) in 3 attempts.*--source sample"):
        market.source().load("PETR4.SA", FIELDS)
    assert (len(market.asked), market.waits) == (3, [1.0, 4.0])


def test_a_limited_rate_is_waited_for() -> None:
    from yfinance.exceptions import YFRateLimitError  # noqa: PLC0415 - slow to import

    market = Market(refusals=[YFRateLimitError()])
    assert market.source().load("PETR4.SA", FIELDS).last_date == "2026-10-30"
    assert market.waits == [1.0]


def test_an_unknown_ticker_is_refused() -> None:
    """Yahoo answers nothing for it; asking again would not help."""
    source = Yahoo(history=lambda *_: pd.DataFrame(), now=lambda: EVENING)
    with pytest.raises(DataInvalid, match="yahoo NOPE: no rows"):
        source.load("NOPE", FIELDS)


@pytest.mark.parametrize("series", ["../../etc/passwd", ".hidden", ""])
def test_what_is_no_ticker_is_refused_before_anything_is_asked(series: str) -> None:
    market = Market()
    with pytest.raises(UsageError, match="expected a ticker"):
        market.source().load(series, FIELDS)
    assert market.asked == []


def test_days_that_are_missing_are_named() -> None:
    """Four months of ten years: a download that broke off."""
    market = Market(gone=("2020-02-01", "2020-05-31"))
    with pytest.raises(DataInvalid, match=r"of 24\d\d days of trading \(BVMF\).*2020-02-03"):
        market.source().load("PETR4.SA", FIELDS)


def test_a_broken_file_is_fetched_anew(tmp_path: Path) -> None:
    market = Market()
    market.source(tmp_path).load("PETR4.SA", FIELDS)
    [file] = (tmp_path / "yahoo").iterdir()
    file.write_bytes(b"PAR1 cut off")
    assert market.source(tmp_path).load("PETR4.SA", FIELDS).last_date == "2026-10-30"
    assert market.asked[0] == market.asked[1]


@pytest.mark.parametrize(
    ("ticker", "code"),
    [("PETR4.SA", "BVMF"), ("MSFT", "XNYS"), ("SAP.DE", "XFRA"), ("BRL=X", None), ("^GSPC", None)],
)
def test_the_exchange_is_known_by_the_ticker(ticker: str, code: str | None) -> None:
    exchange = Exchange.of(ticker)
    assert (exchange.code if exchange else None) == code


def test_a_currency_has_no_exchange_and_a_day_is_over_when_it_is() -> None:
    market = Market(now=pd.Timestamp("2026-10-30T15:00Z"))
    assert market.source().load("BRL=X", FIELDS).last_date == "2026-10-29"


def test_short_days_and_holidays_are_known() -> None:
    """New York closes at 13:00 on the day after Thanksgiving, and not at all on the day itself."""
    exchange = Exchange("XNYS")
    days = pd.Series(pd.to_datetime(["2025-11-26", "2025-11-28"]))
    assert exchange.missing(days).empty
    assert exchange.final(days, pd.Timestamp("2025-11-28T18:30Z")).tolist() == [True, True]
    assert exchange.final(days, pd.Timestamp("2025-11-28T17:30Z")).tolist() == [True, False]
