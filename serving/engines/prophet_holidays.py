"""Which holiday columns are set on which day: the model's own table and its country's days.

A column is a holiday's name and an offset of its window, and is 1 on the days it names (Taylor &
Letham 2018, section 3.3). A country's days of any year come from the `holidays` package, imported
only for models that have a country; `Prophet.add_country_holidays` documents the rule.
"""

from __future__ import annotations

import importlib
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from registry.errors import BundleInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from serving.calendar import Dates
    from serving.engines.prophet_file import SavedProphet

YEARS_AHEAD = 2  # known before the first request; others are looked up when asked for
UNIX_DAY = 719_163  # the ordinal of 1970-01-01
ALIASES = {"TU": "TR"}  # Prophet's own


class CountryDays(Protocol):
    """A country's holidays, a year at a time."""

    def of(self, year: int) -> Iterable[tuple[int, str]]:
        """(days since 1970, name in English) of each holiday of `year`."""


class Country:
    """The `holidays` package's calendar of one country, without subdivisions."""

    def __init__(self, code: str) -> None:
        """`code` as Prophet takes it: `US`, `UnitedStates`; BundleInvalid if it is none."""
        try:
            package = importlib.import_module("holidays")
            known = importlib.import_module("holidays.registry")
        except ImportError as fault:
            msg = f"holidays of {code!r}: install the package `holidays` to serve this model"
            raise BundleInvalid(msg) from fault
        name = ALIASES.get(code, code)
        names = {n for group in (known.COUNTRIES, known.FINANCIAL) for n in group.values()}
        if not any(name in aliases for aliases in names):
            msg = f"holidays of {code!r}: the package `holidays` does not know this country"
            raise BundleInvalid(msg)
        self._calendar: Any = getattr(package, name)

    def of(self, year: int) -> Iterator[tuple[int, str]]:
        """The year's days; two holidays on one day are two pairs."""
        days = self._calendar(expand=False, language="en_US", subdiv=None, years=[year])
        for day in days:
            for name in days.get_list(day):
                yield day.toordinal() - UNIX_DAY, name


class HolidayColumns:
    """The holiday part of the feature matrix, from column `first` on; safe between threads."""

    def __init__(self, saved: SavedProphet, *, first: int, country: CountryDays | None) -> None:
        """Lay out the columns by name and offset, sorted as Prophet sorts their keys."""
        fitted = set(saved.holiday_names)
        rows = [row for row in saved.holidays if row.name in fitted]
        keys = {(row.name, shift) for row in rows for shift in row.window}
        keys |= {(name, 0) for name in fitted - {row.name for row in rows}}
        self._columns = {key: first + i for i, key in enumerate(sorted(keys, key=_label))}
        self._by_day: dict[int, frozenset[int]] = defaultdict(frozenset)
        for row in rows:
            for shift in row.window:
                self._by_day[row.day + shift] |= {self._columns[row.name, shift]}
        self._country = country
        self._years: set[int] = set()
        self._lock = threading.Lock()
        if country is not None:
            last = int(saved.history_dates.max().astype("datetime64[Y]").astype(np.int64)) + 1970
            self._learn(range(last, last + 1 + YEARS_AHEAD))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self._columns)

    def fill(self, matrix: NDArray[np.float64], dates: Dates) -> None:
        """Set the columns of the day of each of `dates` ([n]) in `matrix` ([n, …], zeros)."""
        if not self._columns:
            return
        days = dates.astype("datetime64[D]")
        if self._country is not None:
            years = set((days.astype("datetime64[Y]").astype(np.int64) + 1970).tolist())
            self._learn(years - self._years)
        for row, day in enumerate(days.astype(np.int64).tolist()):
            for column in self._by_day.get(day, ()):
                matrix[row, column] = 1.0

    def _learn(self, years: Iterable[int]) -> None:
        """Add the country's days of `years`: those whose names were there at the fit."""
        for year in years:
            with self._lock:
                for day, name in self._country.of(year) if self._country else ():
                    column = self._columns.get((name, 0))
                    if column is not None:
                        self._by_day[day] |= {column}
                self._years.add(year)


def _label(key: tuple[str, int]) -> str:
    """The name of a column in Prophet's matrix; it sorts by it."""
    name, shift = key
    return f"{name}_delim_{'+' if shift >= 0 else '-'}{abs(shift)}"
