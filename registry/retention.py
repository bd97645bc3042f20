"""Forgetting predictions: a model's records older than its days, what came true of them, and what
only served to ship them.

What came true of a date stays: it is of no request, and forecasts to come are held against it.
Called by the monitor and by `python -m registry predictions forget`; may be ended and begun again
at any time. What it needs of PostgreSQL, the role of the registrar has.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa

from registry import outcomes_tables
from registry import predictions_tables as tables
from registry.predictions_database import KEPT

SECONDS_A_DAY: Final = 86_400.0
# How long a lane's position is kept after it moved last. A lane that ships again after that ships
# what its segments still hold once more, of which the log knows what it has not forgotten.
# What came true of predictions that are not there is kept for as long: their records may come yet.
LANE_DAYS: Final = 90
_PIECE: Final = 5_000  # rows of one transaction: those who ship wait for no longer
_PREFIX: Final = "baton_predictions_"
_predictions, _c = tables.predictions, tables.predictions.c
_outcomes = outcomes_tables.by_prediction


@dataclass(frozen=True)
class Forgotten:
    """What is gone: records one by one, whole days (PostgreSQL), positions, records put aside.

    `outcomes` is how much of what came true of predictions.
    """

    records: int
    days: int
    positions: int
    refused: int
    outcomes: int = 0


def forget(
    url: str, days: Mapping[str, float], *, otherwise: float | None, now: float
) -> Forgotten:
    """Delete what is older than `days` of its model, or than `otherwise` for models not named.

    `otherwise` None keeps those for ever; the model of requests that named none is "". `now` is
    Unix time in seconds. Raises Unreachable, or SettingsError for a role that may not.
    """
    engine = KEPT.open(url, application="baton-retention")
    try:
        with KEPT.reaching():
            return _Forgetting(engine, days, otherwise, now).all()
    finally:
        engine.dispose()


@dataclass
class _Forgetting:
    engine: sa.Engine
    days: Mapping[str, float]
    otherwise: float | None
    now: float
    outcomes: int = 0

    def all(self) -> Forgotten:
        whole = sum(map(self._drop, self._whole_days()))
        records = sum(self._delete(model) for model in self._models())
        longest = self._before(max([LANE_DAYS, *self.days.values(), self.otherwise or 0.0]))
        self._untell(_outcomes.c.told < longest, ~_is_told_of().exists())
        old = int(longest * 1000)
        return Forgotten(
            records,
            whole,
            self._pieces(tables.positions, tables.positions.c.at_ms < old),
            self._pieces(tables.refused, tables.refused.c.at_ms < old),
            self.outcomes,
        )

    def _models(self) -> list[str]:
        """Which have records at all."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return list(connection.scalars(sa.select(_c.model).distinct()))

    def _limit(self, model: str) -> float | None:
        """The time before which a model's records are too old; None: none ever is."""
        kept = self.days.get(model, self.otherwise)
        return None if kept is None else self._before(kept)

    def _before(self, days: float) -> float:
        return self.now - days * SECONDS_A_DAY

    def _delete(self, model: str) -> int:
        limit = self._limit(model)
        if limit is None:
            return 0
        old = sa.and_(_c.model == model, _c.time < limit)
        if (last := _day(limit)) is not None:
            old = sa.and_(old, _c.day <= last)
        self._untell(_is_told_of().where(old).exists())
        return self._pieces(_predictions, old)

    def _untell(self, *which: sa.ColumnElement[bool]) -> None:
        """Delete what came true, before the records that say whose it is; there may be none yet."""
        if self._hears:
            self.outcomes += self._pieces(_outcomes, sa.and_(*which))

    @cached_property
    def _hears(self) -> bool:
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return sa.inspect(connection).has_table(_outcomes.name)

    def _pieces(self, table: sa.Table, old: sa.ColumnElement[bool]) -> int:
        """Delete what is old, a piece in each transaction; how many."""
        key = sa.tuple_(*table.primary_key.columns)
        some = sa.select(*table.primary_key.columns).where(old).limit(_PIECE)
        statement = sa.delete(table).where(key.in_(some))
        gone = 0
        while True:
            with self.engine.begin() as connection:
                count = connection.execute(statement).rowcount
            gone += count
            if count < _PIECE:
                return gone

    def _whole_days(self) -> Iterator[datetime.date]:
        """Partitions of which every record is too old."""
        if self.engine.dialect.name != "postgresql":
            return
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            names = connection.scalars(sa.text(_PARTITIONS)).all()
            for day in map(_day_of, names):
                # One that is empty goes too, but for those that are only just being filled.
                if not _is_over(day, self._before(1.0)):
                    continue
                query = sa.select(_c.model).where(_c.day == day).distinct()
                limits = map(self._limit, connection.scalars(query).all())
                if all(limit is not None and _is_over(day, limit) for limit in limits):
                    yield day

    def _drop(self, day: datetime.date) -> bool:
        self._untell(_is_told_of().where(_c.day == day).exists())
        with self.engine.begin() as connection:
            gone: Any = connection.scalar(sa.select(sa.func.baton_predictions_drop(day)))
            return bool(gone)


_PARTITIONS = """
SELECT child.relname FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass('baton_predictions') ORDER BY 1
"""


def _is_told_of() -> sa.Select[tuple[str]]:
    """The record that something that came true is about."""
    query = sa.select(_c.prediction_id).correlate(_outcomes)
    return query.where(_c.prediction_id == _outcomes.c.prediction_id)


def _is_over(day: datetime.date, time: float) -> bool:
    """Whether all of a day lies before a time."""
    begin = datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
    return begin + SECONDS_A_DAY <= time


def _day_of(partition: str) -> datetime.date:
    digits = partition.removeprefix(_PREFIX)
    return datetime.date(int(digits[:-4]), int(digits[-4:-2]), int(digits[-2:]))


def _day(time: float) -> datetime.date | None:
    try:
        return datetime.datetime.fromtimestamp(time, datetime.UTC).date()
    except (OverflowError, ValueError, OSError):
        return None
