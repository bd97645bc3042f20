"""Writes the dashboards as Grafana reads them: `make dashboards`. What they show is in panels.py,
service.py, models.py, data.py and stack.py.

python infra/grafana/build.py [FOLDER]     (infra/grafana/dashboards)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from data import DATA
from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from models import MODEL, MODELS
from panels import Dashboard, Kind, Panel, Query, Variable
from service import SERVICE
from stack import PLATFORM

DASHBOARDS = (SERVICE, MODELS, MODEL, DATA, PLATFORM)
_FOLDER = Path(__file__).with_name("dashboards")
_SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
_TAG = "baton"
_HEIGHT = 8


def main(folder: Path = _FOLDER) -> None:
    """Write one file a dashboard, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        text = JSONEncoder(sort_keys=True, indent=1).encode(built(dashboard))
        (folder / f"{dashboard.uid}.json").write_text(f"{text}\n", encoding="utf-8")


def built(dashboard: Dashboard) -> Any:
    """A dashboard as the SDK has it."""
    made = (
        grafana.Dashboard(f"Baton: {dashboard.title}")
        .uid(dashboard.uid)
        .tags([_TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .link(
            grafana.DashboardLink("Baton")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .keep_time(True)
        )
        .with_variable(
            grafana.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    for variable in dashboard.variables:
        made = made.with_variable(_chosen(variable))
    for row in dashboard.rows:
        made = made.with_row(grafana.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel))
    return made.build()


def _chosen(variable: Variable) -> Any:
    """What is to choose on the page, as Prometheus knows it."""
    made = (
        grafana.QueryVariable(variable.name)
        .query(f"label_values({variable.metric}, {variable.name})")
        .datasource(_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(variable.many)
        .include_all(variable.many)
    )
    if not variable.many:
        return made
    everything = VariableOption(selected=True, text="All", value="$__all")
    return made.all_value(".*").current(everything)


def _panel(panel: Panel) -> Any:
    made = _drawn(panel).title(panel.title).datasource(_SOURCE).unit(panel.unit)
    made = made.span(panel.width).height(_HEIGHT)
    if panel.hint:
        made = made.description(panel.hint)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(panel.kind, query, chr(ord("A") + number)))
    return made


def _drawn(panel: Panel) -> Any:
    """An empty panel of its kind."""
    last = parts.ReduceDataOptions().calcs(["lastNotNull"])
    if panel.kind is Kind.NUMBER:
        return stat.Panel().reduce_options(last)
    if panel.kind is Kind.TABLE:
        return table.Panel()
    legend = (
        parts.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    tooltip = parts.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    return (
        timeseries.Panel()
        .show_points(VisibilityMode.NEVER)
        .fill_opacity(10)
        .legend(legend)
        .tooltip(tooltip)
    )


def _target(kind: Kind, query: Query, ref: str) -> Any:
    made = prometheus.Dataquery().expr(query.expr).ref_id(ref).legend_format(query.legend)
    if kind is Kind.LINES:
        return made.range()
    made = made.instant()
    return made.format(PromQueryFormat.TABLE) if kind is Kind.TABLE else made


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
