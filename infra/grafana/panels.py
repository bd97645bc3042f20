"""What a dashboard is made of: titles, queries and units, nothing of Grafana's own. See build.py.

In queries `$instance` and `$model` are what is chosen on the page; `$__rate_interval` and
`$__range` are Grafana's: four scrapes at least, and the time that is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

RATE = "[$__rate_interval]"


class Kind(StrEnum):
    """How a panel is drawn: over time, as its last value, or as a table of last values."""

    LINES = "lines"
    NUMBER = "number"
    TABLE = "table"


@dataclass(frozen=True)
class Query:
    """PromQL, and what a line of it is called: `{{label}}` is that label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel; `width` is out of 24, `hint` is shown when its title is pointed at."""

    title: str
    queries: Sequence[Query]
    unit: str
    kind: Kind
    width: int
    hint: str


@dataclass(frozen=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """Something to choose: the values that a label of its name has on a metric."""

    name: str
    metric: str
    many: bool = True


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One page; its file is named by `uid`."""

    uid: str
    title: str
    variables: Sequence[Variable]
    rows: Sequence[Row]


def lines(
    title: str, *queries: Query, unit: str = "short", width: int = 8, hint: str = ""
) -> Panel:
    """A panel over time."""
    return Panel(title=title, queries=queries, unit=unit, kind=Kind.LINES, width=width, hint=hint)


def number(
    title: str, *queries: Query, unit: str = "short", width: int = 8, hint: str = ""
) -> Panel:
    """A panel of last values."""
    return Panel(title=title, queries=queries, unit=unit, kind=Kind.NUMBER, width=width, hint=hint)


def table(title: str, expr: str, *, unit: str = "short", width: int = 8, hint: str = "") -> Panel:
    """A panel with a row for each series."""
    return Panel(
        title=title, queries=[Query(expr)], unit=unit, kind=Kind.TABLE, width=width, hint=hint
    )


def rate(metric: str, where: str, by: str, legend: str = "") -> Query:
    """A counter's pace, added up by a label, a second."""
    return Query(f"sum by ({by}) (rate({metric}{{{where}}}{RATE}))", legend or f"{{{{{by}}}}}")


def quantiles(metric: str, where: str) -> list[Query]:
    """The median, the 95th and the 99th percentile of a histogram."""
    buckets = f"sum by (le) (rate({metric}_bucket{{{where}}}{RATE}))"
    return [
        Query(f"histogram_quantile({share}, {buckets})", name)
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def failed(where: str, by: str) -> Query:
    """The share of requests that were answered with a 5xx; 0 where none was, instead of nothing."""
    asked = f"sum by ({by}) (rate(baton_requests_total{{{where}}}{RATE}))"
    fails = f'sum by ({by}) (rate(baton_requests_total{{{where},status=~"5.."}}{RATE}))'
    return Query(f"({fails} or {asked} * 0) / {asked}", f"{{{{{by}}}}}")
