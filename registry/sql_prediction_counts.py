"""What the watch reads of the prediction log in SQL: sqlite or PostgreSQL.

The database is opened at the first question, on the thread that asks: a registrar starts, and
works, without it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Protocol

import sqlalchemy as sa

from registry.prediction_counts import SLOW_SHARE, UNSURE_BELOW, Counts, Reference

# As far as it is asked for; the day is there for PostgreSQL, which has a partition for each.
_predictions = sa.table(
    "baton_predictions",
    sa.column("model", sa.Text),
    sa.column("day", sa.Date),
    sa.column("time", sa.Float),
    sa.column("epoch", sa.Integer),
    sa.column("seq", sa.Integer),
    sa.column("arm", sa.Text),
    sa.column("status", sa.Integer),
    sa.column("latency_ms", sa.Float),
    sa.column("confidence", sa.Float),
)
_c = _predictions.c


class Database(Protocol):
    """What opens a database of ours; see `database.Kept`."""

    def open(self, url: str) -> sa.Engine:
        """Open it; raises Unreachable or SettingsError."""

    def reaching(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into ours."""


class SqlPredictionCounts:
    """The `PredictionCounts` port over a SQLAlchemy URL."""

    def __init__(self, database: Database, url: str) -> None:
        """Nothing is opened before it is asked."""
        self._database, self._url = database, url

    def reference(
        self, model: str, key: tuple[int, int], *, since: float, newest: int
    ) -> Reference:
        """See `PredictionCounts.reference`."""
        seen = sa.select(_c.status, _c.latency_ms, _c.confidence)
        rows = self._read(seen.where(_of(model, key, since)).order_by(_c.time.desc()).limit(newest))
        answered = [row for row in rows if row.status < 400]
        latencies = sorted((row.latency_ms for row in answered), reverse=True)
        slow_ms = latencies[int(SLOW_SHARE * len(latencies))] if latencies else None
        sure = [row.confidence for row in answered if row.confidence is not None]
        counts = Counts(
            errors=len(rows) - len(answered),
            answered=len(answered),
            slow=sum(slow_ms is not None and latency > slow_ms for latency in latencies),
            rated=len(sure),
            unsure=sum(confidence < UNSURE_BELOW for confidence in sure),
        )
        return Reference(counts, slow_ms)

    def counts(
        self, model: str, key: tuple[int, int], *, since: float, slow_ms: float | None
    ) -> Counts:
        """See `PredictionCounts.counts`."""
        answered = _c.status < 400
        slow = sa.false() if slow_ms is None else sa.and_(answered, _c.latency_ms > slow_ms)
        query = sa.select(
            _sum(_c.status >= 500).label("errors"),
            _sum(answered).label("answered"),
            _sum(slow).label("slow"),
            _sum(sa.and_(answered, _c.confidence.is_not(None))).label("rated"),
            _sum(sa.and_(answered, _c.confidence < UNSURE_BELOW)).label("unsure"),
        )
        [row] = self._read(query.where(_of(model, key, since)))
        return Counts(**{name: int(value) for name, value in row._mapping.items()})  # noqa: SLF001

    @cached_property
    def _readers(self) -> sa.Engine:
        engine = self._database.open(self._url)
        return engine.execution_options(isolation_level="AUTOCOMMIT")

    def _read(self, query: sa.Executable) -> Sequence[sa.Row[Any]]:
        readers = self._readers
        with self._database.reaching(), readers.connect() as connection:
            return connection.execute(query).all()


def _of(model: str, key: tuple[int, int], since: float) -> sa.ColumnElement[bool]:
    """An entry's requests that count: what a client did wrong does not."""
    day = datetime.datetime.fromtimestamp(since, datetime.UTC).date()
    counts = sa.or_(_c.status < 400, _c.status >= 500)
    is_entrys = sa.and_(_c.model == model, _c.epoch == key[0], _c.seq == key[1], _c.arm == "serve")
    return sa.and_(is_entrys, counts, _c.time >= since, _c.day >= day)


def _sum(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)
