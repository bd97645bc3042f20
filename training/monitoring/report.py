"""A model's days on one page: HTML with its pictures in it, and the pictures as PNG beside it."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from registry.predictions import PredictionLog
from training import plots
from training.monitoring.reference import Reference, References
from training.monitoring.rules import judge
from training.monitoring.tally import Tally
from training.monitoring.thresholds import Thresholds
from training.monitoring.verdict import State, Verdict
from training.monitoring.window_run import iso

DAY = 86_400.0
_NO_VERSION = "none"
_PICTURE = "report.png"
_COLOURS = {State.FINE: "#2b7a3d", State.RAISED: "#b3261e", State.UNKNOWN: "#6b6b6b"}
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:left;
border-bottom:1px solid #ddd}img{max-width:100%}"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a model answered with since ≤ time < until (s since 1970), by version and day."""

    model: str
    since: float
    until: float
    days: Mapping[str, Sequence[Tally]]
    verdicts: Mapping[str, Sequence[Verdict]]

    @property
    def latest(self) -> str:
        """The version that answered last; empty where none did."""
        return max(self.days, key=lambda version: self.days[version][-1].last, default="")

    @property
    def reference(self) -> Reference | None:
        """That of the version that answered last."""
        return self.days[self.latest][-1].reference if self.days else None

    def write(self, folder: Path) -> None:
        """`report.html` and `report.png` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._draw(folder / _PICTURE)
        page = self._page((folder / _PICTURE).read_bytes())
        (folder / "report.html").write_text(page, encoding="utf-8")

    def _draw(self, path: Path) -> None:
        with plots.figure(path, size=(10, 6.4), rows=2, columns=2) as (_, axes):
            self._lines(axes[0][0], "Predictions a day", lambda day: day.rows)
            self._lines(axes[0][1], "Mean confidence (%)", _confidence)
            self._lines(axes[1][0], "Latency, 95th percentile (ms)", _slow)
            scores = {
                v.column or "prediction": v.value
                for v in self.verdicts.get(self.latest, ())
                if v.rule in ("drift", "prediction_drift") and v.value is not None
            }
            axes[1][1].barh([*scores], [*scores.values()])
            axes[1][1].set(title="Drift (stability index) over all days")

    def _lines(self, axes: Any, title: str, value: Any) -> None:
        for version, days in self.days.items():
            at = [iso(day.since)[5:10] for day in days]
            axes.plot(at, [value(day) for day in days], "o-", markersize=3, label=f"v{version}")
        axes.set(title=title)
        axes.grid(alpha=0.3)
        if self.days:
            axes.legend(loc="best")

    def _page(self, picture: bytes) -> str:
        title = html.escape(f"{self.model}: {iso(self.since)} to {iso(self.until)}")
        shown = base64.b64encode(picture).decode()
        parts = "".join(self._version(version) for version in self.days)
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
            f"<style>{_STYLE}</style><h1>{title}</h1>"
            f'<img alt="Volume, confidence, latency and drift" src="data:image/png;base64,{shown}">'
            f"{parts or '<p>Nothing was predicted.</p>'}</html>\n"
        )

    def _version(self, version: str) -> str:
        whole = Tally.of(self.days[version])
        rows = [
            ("requests", whole.requests),
            ("predictions", whole.rows),
            ("failed (5xx)", whole.failed),
            ("refused (4xx)", whole.refused),
            *((f"class {name}", count) for name, count in whole.classes.most_common()),
        ]
        verdicts = "".join(_told(verdict) for verdict in self.verdicts[version])
        return (
            f"<h2>Version {html.escape(version)}</h2>{_table(('what', 'how many'), rows)}"
            "<table><tr><th>rule<th>state<th>value<th>threshold<th>predictions<th>why</tr>"
            f"{verdicts}</table>"
        )


def made(
    log: PredictionLog,
    references: References,
    limits: Thresholds,
    model: str,
    span: tuple[float, float],
) -> Report:
    """The report of a model on since ≤ time < until; reads every record of it once."""
    since, until = span
    days: dict[str, dict[float, Tally]] = {}
    for record in log.predictions(model, since, until):
        version = record.version or _NO_VERSION
        begun = since + math.floor((record.time - since) / DAY) * DAY
        own = days.setdefault(version, {})
        if begun not in own:
            own[begun] = Tally(
                reference=references.of(model, version),
                since=begun,
                until=min(begun + DAY, until),
                baseline=limits.baseline,
            )
        own[begun].add(record)
    ordered = {version: [*own.values()] for version, own in days.items()}
    return Report(
        model=model,
        since=since,
        until=until,
        days=ordered,
        verdicts={version: judge(Tally.of(own), limits) for version, own in ordered.items()},
    )


def _confidence(day: Tally) -> float:
    return 100 * float(np.mean(day.confidences)) if day.confidences else math.nan


def _slow(day: Tally) -> float:
    return float(np.percentile(day.latencies, 95)) if day.latencies else math.nan


def _table(titles: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{title}" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(str(cell))}' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _told(verdict: Verdict) -> str:
    value = "" if verdict.value is None else f"{verdict.value:.4g}"
    cells = (value, f"{verdict.threshold:.4g}", f"{verdict.samples} (≥ {verdict.needed})")
    return (
        f'<tr><td>{html.escape(verdict.name)}<td style="color:{_COLOURS[verdict.state]}">'
        f"{verdict.state}{''.join(f'<td>{cell}' for cell in cells)}<td>{html.escape(verdict.why)}"
        "</tr>"
    )
