"""How a version has done, counted by the prediction log's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from registry import predictions_queries as queries
from registry import predictions_tables as tables
from registry.prediction_counts import SLOW_SHARE, UNSURE_BELOW, Counts, Reference, Stint
from registry.predictions_database import KEPT, address, is_kept
from registry.settings import Settings

# One request in so many is among the slowest: whole numbers divide alike in both databases.
_ONE_IN: Final = round(1 / SLOW_SHARE)
_c = tables.predictions.c


class SqlPredictionCounts:
    """The port `PredictionCounts`; opens the database when it is first asked, and may raise then.

    One look is one statement: what is shipped meanwhile is in all of its numbers or in none.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        """`url` says where the log is; it may raise SettingsError."""
        self._url = url
        self._engine: sa.Engine | None = None

    def reference(self, stint: Stint, *, newest: int) -> Reference:
        """See `PredictionCounts.reference`."""
        last = (
            sa.select(_c.status, _c.latency_ms, _c.confidence)
            .where(_of(stint), sa.or_(_c.status < 400, _c.status >= 500))
            .order_by(_c.time.desc(), _c.prediction_id.desc())
            .limit(newest)
            .cte("last")
        )
        place = sa.func.row_number().over(order_by=last.c.latency_ms.desc()).label("place")
        ranked = (
            sa.select(last.c.latency_ms, place, sa.func.count().over().label("answered"))
            .where(last.c.status < 400)
            .cte("ranked")
        )
        slow = (
            sa.select(ranked.c.latency_ms)
            .where(ranked.c.place == ranked.c.answered // _ONE_IN + 1)
            .scalar_subquery()
        )
        row = self._one(sa.select(slow.label("slow_ms"), *_counted(last.c, slow)))
        return Reference(_counts(row), row.slow_ms)

    def counts(self, stint: Stint, *, slow_ms: float | None) -> Counts:
        """See `PredictionCounts.counts`."""
        slow = sa.literal(slow_ms, sa.Float)
        asked = sa.select(*_counted(_c, slow)).where(_of(stint))
        return _counts(self._one(asked))

    def close(self) -> None:
        """Close every connection."""
        if self._engine:
            self._engine.dispose()

    def _one(self, query: sa.Select[Any]) -> sa.Row[Any]:
        with KEPT.reaching():
            if self._engine is None:
                opened = KEPT.open(self._url(), application="baton-watch")
                self._engine = opened.execution_options(isolation_level="AUTOCOMMIT")
            with self._engine.connect() as connection:
                return connection.execute(query).one()


def prediction_counts(settings: Settings) -> SqlPredictionCounts | None:
    """Those of the log that the settings name; None where there is none."""
    return SqlPredictionCounts(lambda: address(settings)) if is_kept(settings) else None


def _of(stint: Stint) -> sa.ColumnElement[bool]:
    """The records of one stint."""
    entries = sa.and_(_c.epoch == stint.epoch, _c.seq.between(stint.first, stint.last))
    during = queries.during(stint.since, float("inf"))
    return sa.and_(_c.model == stint.model, entries, _c.arm == stint.arm, during)


def _counted(columns: Any, slow_ms: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
    """What `Counts` has, in its order."""
    is_answered = columns.status < 400
    is_rated = sa.and_(is_answered, columns.confidence.is_not(None))
    asked = {
        "errors": columns.status >= 500,
        "answered": is_answered,
        "slow": sa.and_(is_answered, columns.latency_ms > slow_ms),
        "rated": is_rated,
        "unsure": sa.and_(is_rated, columns.confidence < UNSURE_BELOW),
    }
    return [
        sa.func.coalesce(sa.func.sum(sa.case((is_so, 1), else_=0)), 0).label(name)
        for name, is_so in asked.items()
    ]


def _counts(row: sa.Row[Any]) -> Counts:
    return Counts(
        errors=row.errors,
        answered=row.answered,
        slow=row.slow,
        rated=row.rated,
        unsure=row.unsure,
    )
