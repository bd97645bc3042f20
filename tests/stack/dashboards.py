"""The committed dashboards as queries, and what a Prometheus says to them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stack.rules import ROOT
from tests.stack.servers import Watching

FOLDER = ROOT / "infra" / "grafana" / "dashboards"
_CHOICE = re.compile(r"label_values\((\w+), (\w+)\)")
# What Grafana would put in: four scrapes of a second at least, and the time that is shown.
_GRAFANAS = {"__rate_interval": "15s", "__range": "5m"}
Choices = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    expr: str


def dashboards(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Every dashboard's JSON."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def asked(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """All queries of a dashboard."""
    for panel in dashboard["panels"]:
        for inner in (panel, *panel.get("panels", ())):
            for target in inner.get("targets", ()):
                yield Asked(dashboard["title"], inner["title"], target["expr"])


def choices(dashboard: Mapping[str, Any], prometheus: Watching) -> Choices:
    """What its variables offer: each must have something to choose."""
    found: dict[str, Sequence[str]] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        said = _CHOICE.fullmatch(variable["query"])
        assert said, variable
        metric, label = said.groups()
        values = prometheus.ask(f"/api/v1/label/{label}/values", **{"match[]": metric})["data"]
        assert values, f"{dashboard['title']}: nothing to choose for {variable['name']}"
        found[variable["name"]] = [".*"] if variable["multi"] else values
    return found


def silent(dashboard: Mapping[str, Any], prometheus: Watching) -> list[Asked]:
    """The queries that return no data, whatever is chosen."""
    chosen = choices(dashboard, prometheus)
    return [one for one in asked(dashboard) if not any(_says(one, chosen, prometheus))]


def _says(one: Asked, chosen: Choices, prometheus: Watching) -> Iterator[bool]:
    """Whether a query returns a number, for each choice."""
    for expr in _filled(one.expr, chosen):
        yield any(math.isfinite(value) for _, value in prometheus.query(expr))


def _filled(expr: str, chosen: Choices) -> Iterator[str]:
    """An expression with each choice put in."""
    for name, value in _GRAFANAS.items():
        expr = expr.replace(f"${name}", value)
    exprs = [expr]
    for name, values in chosen.items():
        exprs = [one.replace(f"${name}", value) for one in exprs for value in values]
    for one in set(exprs):
        assert "$" not in one, f"{one}: a variable that the dashboard does not have"
        yield one
