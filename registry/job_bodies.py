"""What a request for a job says: read by the route, and once more by the worker that does it.

Serving cannot know the workloads, so a name or a parameter that does not exist is found out by the
worker: its job then fails and says why. All that can be seen without them is refused here.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from registry.errors import SignatureMismatch
from registry.signature import describe

LEAST_POINTS: Final = 60
MOST_POINTS: Final = 10_000
TEST_SHARE: Final = 0.2
# Of the windows that a network learns from, so many at least.
_LEAST_WINDOWS: Final = 4
_HELD_SHARE: Final = 0.15
_MOST_TEXT: Final = 200
_MOST_PARAMS: Final = 64
_NAMES: Final = ("workload", "ticker", "series", "source", "model", "experiment")
_PERIOD: Final = ("start_date", "end_date")
_DATES: Final = ("ds", "date")
_VALUES: Final = ("value", "close", "y")


@dataclass(frozen=True, kw_only=True)
class TrainBody:
    """Of `POST /train`: what `python -m training run` would be told. None is the default.

    Only a `ticker` means the workload `stock_lstm` on that series.
    """

    workload: str
    ticker: str | None = None
    series: str | None = None
    source: str | None = None
    model: str | None = None
    experiment: str | None = None
    seed: int | None = None
    start_date: str | None = None
    end_date: str | None = None
    params: Mapping[str, bool | int | float | str]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read a JSON object; everything without a meaning of its own is a parameter.

        Raises SignatureMismatch.
        """
        given = {name: _text(name, body[name]) for name in _NAMES if name in body}
        given |= {name: _day(name, body[name]) for name in _PERIOD if name in body}
        seed = _whole("seed", body["seed"], 0, 2**32 - 1) if "seed" in body else None
        if "workload" not in given and "ticker" not in given:
            raise SignatureMismatch("workload", expected="a workload, or a ticker", got="neither")
        if "series" in given and given.get("ticker", given["series"]) != given["series"]:
            raise SignatureMismatch(
                "series", expected="the ticker, or none of both", got=describe(given["series"])
            )
        if given.get("start_date", "") > given.get("end_date", "9999-12-31"):
            raise SignatureMismatch(
                "end_date", expected="a date after start_date", got=describe(given["end_date"])
            )
        own = {*_NAMES, *_PERIOD, "seed"}
        params = {name: _scalar(name, body[name]) for name in body if name not in own}
        if len(params) > _MOST_PARAMS:
            raise SignatureMismatch(
                "body", expected=f"at most {_MOST_PARAMS} parameters", got=str(len(params))
            )
        return cls(**{"workload": "stock_lstm", **given}, seed=seed, params=params)


@dataclass(frozen=True, kw_only=True)
class SeriesBody:
    """Of `POST /predict-custom`: a series of the caller's own, and how to learn from it."""

    data: tuple[float, ...]
    ticker: str = "custom"
    seq_length: int = 30
    epochs: int = 50
    learning_rate: float = 0.001
    days: int = 5

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read a JSON object. Raises SignatureMismatch."""
        known: dict[str, Callable[[Any], Any]] = {
            "data": _data,
            "ticker": lambda value: _text("ticker", value),
            "seq_length": lambda value: _whole("seq_length", value, 5, 120),
            "epochs": lambda value: _whole("epochs", value, 1, 500),
            "learning_rate": lambda value: _number("learning_rate", value, 1e-6, 1.0),
            "days": lambda value: _whole("days", value, 1, 90),
        }
        for name in body:
            if name not in known:
                raise SignatureMismatch(name, expected=f"one of {', '.join(known)}", got=name)
        made = cls(**{"data": (), **{name: known[name](value) for name, value in body.items()}})
        made._check_length()
        return made

    @property
    def train_size(self) -> int:
        """Points that are learnt from; those after them are judged on."""
        return len(self.data) - int(len(self.data) * TEST_SHARE)

    @property
    def held(self) -> int:
        """Windows at the end of those points that only say when to stop."""
        return max(1, int(self._windows * _HELD_SHARE))

    @property
    def _windows(self) -> int:
        return self.train_size - self.seq_length - self.days + 1

    @property
    def is_enough(self) -> bool:
        """Whether enough windows are left to learn from, and a point for each that is told."""
        learnt = self._windows - self.held - self.days
        return learnt >= _LEAST_WINDOWS and len(self.data) - self.train_size >= self.days

    def _check_length(self) -> None:
        if len(self.data) < LEAST_POINTS or not self.is_enough:
            raise SignatureMismatch(
                "data",
                expected=f"at least {max(LEAST_POINTS, self._least())} points for seq_length "
                f"{self.seq_length} and days {self.days}",
                got=str(len(self.data)),
            )

    def _least(self) -> int:
        """The fewest points that would do."""
        lengths = (replace(self, data=(1.0,) * n) for n in range(1, MOST_POINTS))
        return next(len(one.data) for one in lengths if one.is_enough)


def _data(value: Any) -> tuple[float, ...]:
    """Numbers, or rows of a date and a number whose dates increase."""
    if not isinstance(value, list):
        raise SignatureMismatch("data", expected="a list", got=describe(value))
    if len(value) > MOST_POINTS:
        raise SignatureMismatch(
            "data", expected=f"at most {MOST_POINTS} points", got=str(len(value))
        )
    if any(isinstance(row, dict) for row in value):
        return _dated(value)
    return tuple(_price(f"data[{at}]", one) for at, one in enumerate(value))


def _dated(rows: Sequence[Any]) -> tuple[float, ...]:
    """The numbers of rows, in their order."""
    values, before = [], datetime.datetime.min.replace(tzinfo=datetime.UTC)
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            raise SignatureMismatch(f"data[{at}]", expected="a row, as before", got=describe(row))
        date, value = _member(at, row, _DATES), _member(at, row, _VALUES)
        moment = _moment(f"data[{at}].{date}", row[date])
        if moment <= before:
            raise SignatureMismatch(
                f"data[{at}].{date}", expected="a later date than before", got=describe(row[date])
            )
        values.append(_price(f"data[{at}].{value}", row[value]))
        before = moment
    return tuple(values)


def _member(at: int, row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Which one of `names` the row has."""
    found = [name for name in names if name in row]
    if len(found) != 1:
        raise SignatureMismatch(
            f"data[{at}]",
            expected=f"one of {', '.join(names)}",
            got=", ".join(found) or "none of them",
        )
    return found[0]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= _MOST_TEXT:
        expected = f"a text of 1 to {_MOST_TEXT} letters"
        raise SignatureMismatch(name, expected=expected, got=describe(value))
    if not value.isprintable():
        raise SignatureMismatch(name, expected="letters that can be printed", got=describe(value))
    return value


def _scalar(name: str, value: Any) -> bool | int | float | str:
    """A parameter: which type it needs to have is known to its workload."""
    _text("the name of a parameter", name)
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise SignatureMismatch(name, expected="a number, a text, true or false", got=describe(value))


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        expected = f"an integer from {least} to {most}"
        raise SignatureMismatch(name, expected=expected, got=describe(value))
    return value


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        expected = f"a number from {least:g} to {most:g}"
        raise SignatureMismatch(name, expected=expected, got=describe(value))
    return float(value)


def _price(name: str, value: Any) -> float:
    """A value of a series: it is learnt from as a logarithm."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-9 <= value <= 1e15:
        raise SignatureMismatch(name, expected="a number above 0", got=describe(value))
    return float(value)


def _day(name: str, value: Any) -> str:
    text = _text(name, value)
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise SignatureMismatch(
            name, expected="a date such as 2026-11-02", got=describe(text)
        ) from None


def _moment(name: str, value: Any) -> datetime.datetime:
    """A date or a time; one that does not say where is in UTC."""
    try:
        moment = datetime.datetime.fromisoformat(_text(name, value))
    except ValueError:
        raise SignatureMismatch(
            name, expected="a date such as 2026-11-02", got=describe(value)
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
