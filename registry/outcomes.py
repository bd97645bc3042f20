"""What came true: told of a prediction after the fact, by its id and row, or by series and date.

The first value that is told stands; another one is a contradiction, unless it says that it corrects
the first, and then both are kept. Nothing is ever changed; what was told of a prediction goes with
it (`retention.py`). Pure: `sql_outcomes.py` keeps them, `feedback.py` reads what people tell,
`pairing.py` puts them beside what was predicted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

Value = float | str
# What two values have to agree in: as IEEE 754 numbers of 64 bits, whole ones among them.
_WHOLE: Final = 2.0**53


@dataclass(frozen=True, slots=True)
class OfPrediction:
    """One row of one prediction, counted from 0."""

    prediction_id: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class OfDate:
    """A series at a date (ISO; with a time, to the second, where it is not midnight).

    Every forecast of that date is meant, whoever made it.
    """

    series: str
    date: str


About = OfPrediction | OfDate


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One value that came true: a number, or a label.

    `at` is when it did, `told` when that was told, both in seconds since 1970; `by` is who said so:
    the id of an API key, a person's name, or the source that was asked.
    """

    about: About
    value: Value
    at: float
    by: str
    told: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An outcome that is told, and whether it may take the place of another value."""

    outcome: Outcome
    corrects: bool = False


class Heard(StrEnum):
    """What became of something that was told."""

    NEW = "new"
    SAME = "same"
    CORRECTED = "corrected"
    CONTRADICTED = "contradicted"


class Asked(NamedTuple):
    """What feedback has to know of a prediction in the log: its rows, status and time."""

    rows: int
    status: int
    time: float


class Outcomes(Protocol):
    """Where they are kept; every method may raise Unreachable, and can then be asked again."""

    def asked(self, ids: Collection[str]) -> Mapping[str, Asked]:
        """What the prediction log beside them has of these predictions, by id."""

    def tell(self, said: Sequence[Said]) -> Sequence[Heard]:
        """Keep them, all or none, and say of each what became of it; told twice is told once."""

    def of_predictions(self, ids: Collection[str]) -> Mapping[OfPrediction, Outcome]:
        """What stands for any row of these predictions."""

    def of_dates(self, series: str, dates: Collection[str]) -> Mapping[str, Outcome]:
        """What stands for these dates of a series, by date."""

    def history(self, about: About) -> Sequence[Outcome]:
        """Every value that was ever told and kept, the one that stands last."""

    def told(self, since: float, until: float) -> Iterator[OfPrediction]:
        """Which predictions something was told of with since ≤ told < until, in pages."""

    def close(self) -> None:
        """Close every connection."""


def heard(standing: Outcome | None, said: Said) -> Heard:
    """What becomes of `said`, where `standing` is what stands."""
    if standing is None:
        return Heard.NEW
    if label_of(standing.value) == label_of(said.outcome.value):
        return Heard.SAME
    return Heard.CORRECTED if said.corrects else Heard.CONTRADICTED


def label_of(value: Value | bool) -> str:
    """A value as a label: 2, 2.0 and "2" are one class, and so are true and "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    number = float(value)
    return str(int(number)) if abs(number) < _WHOLE and number == int(number) else repr(number)
