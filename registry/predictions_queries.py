"""What is asked of the prediction log's tables, as SQL for both databases. Pure.

Times are seconds since 1970. On PostgreSQL every question about a time names its days too: only
their partitions are looked at.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from registry import predictions_tables as tables

# Upper bounds of the classes in which latencies are counted, in milliseconds; what is above the
# last one is in a class of its own.
LATENCY_MS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4)
_FAILED: Final = 500
_predictions, _c = tables.predictions, tables.predictions.c


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one version did in a time: executions, attempts of one prediction each for itself."""

    requests: int
    errors: int  # of these with a status of 500 and above
    latency_ms: float  # all together
    within: tuple[int, ...] = field(repr=False)  # how many took at most LATENCY_MS[i]

    def quantile_ms(self, share: float) -> float | None:
        """The latency that `share` (0…1) of the requests stayed within, interpolated in its class.

        None without requests; the highest bound for what lies above it.
        """
        if not self.requests:
            return None
        wanted, below, lower = share * self.requests, 0, 0.0
        for upper, count in zip(LATENCY_MS, self.within, strict=True):
            if count >= wanted and count > below:
                return lower + (upper - lower) * max(wanted - below, 0.0) / (count - below)
            lower, below = upper, count
        return LATENCY_MS[-1]


def during(since: float, until: float) -> sa.ColumnElement[bool]:
    """Records with since ≤ time < until."""
    asked = [_c.time >= since, _c.time < until]
    if (first := _day(since)) is not None:
        asked.append(_c.day >= first)
    if (last := _day(until)) is not None:
        asked.append(_c.day <= last)
    return sa.and_(*asked)


def counted(*, by_days: bool) -> sa.ColumnElement[bool]:
    """Records that count: of attempts of one prediction the highest (epoch, seq), then the latest.

    What a shadow was asked answered nobody, and never counts.
    `by_days`: attempts are looked for in a record's day and those beside it only.
    """
    other = _predictions.alias("other")
    near = [other.c.day.between(_c.day - 1, _c.day + 1)] if by_days else []
    better = sa.select(sa.literal(1)).where(
        other.c.attempt_of == _c.attempt_of,
        other.c.attempt_of != tables.no_attempt,
        _rank(other) > _rank(_predictions),
        *near,
    )
    has_better = better.correlate(_predictions).exists()
    is_best = sa.or_(_c.attempt_of == tables.no_attempt, sa.not_(has_better))
    return sa.and_(_c.arm != "shadow", is_best)


def after(time: float, prediction_id: str) -> sa.ColumnElement[bool]:
    """Records behind this one, in the order of `oldest_first`."""
    return sa.tuple_(_c.time, _c.prediction_id) > sa.tuple_(time, prediction_id)


def oldest_first() -> tuple[sa.ColumnElement[Any], ...]:
    """The order of pages."""
    return (_c.time, _c.prediction_id)


def counts(model: str, since: float, until: float) -> sa.Select[Any]:
    """One row a version; see `to_counts`."""
    within = [
        sa.func.sum(sa.case((_c.latency_ms <= bound, 1), else_=0)).label(f"within_{number}")
        for number, bound in enumerate(LATENCY_MS)
    ]
    return (
        sa.select(
            _c.version,
            sa.func.count().label("requests"),
            sa.func.sum(sa.case((_c.status >= _FAILED, 1), else_=0)).label("errors"),
            sa.func.sum(_c.latency_ms).label("latency_ms"),
            *within,
        )
        .where(_c.model == model, during(since, until))
        .group_by(_c.version)
    )


def to_counts(rows: Collection[sa.Row[Any]]) -> Mapping[str, Counts]:
    """By version."""
    return {
        row.version: Counts(
            requests=row.requests,
            errors=row.errors,
            latency_ms=row.latency_ms,
            within=tuple(row[-len(LATENCY_MS) :]),
        )
        for row in rows
    }


def _rank(table: sa.FromClause) -> sa.ColumnElement[Any]:
    c = table.c
    return sa.tuple_(
        sa.func.coalesce(c.epoch, -1), sa.func.coalesce(c.seq, -1), c.time, c.prediction_id
    )


def _day(time: float) -> datetime.date | None:
    """The day of a time; None for one beyond all days, as infinity."""
    if not math.isfinite(time):
        return None
    try:
        return datetime.datetime.fromtimestamp(time, datetime.UTC).date()
    except (OverflowError, ValueError, OSError):
        return None
