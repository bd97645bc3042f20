"""How entries, reports and settings look: as tables for people, as plain values for `--json`."""

from __future__ import annotations

import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from registry.beside import described
from registry.console import out
from registry.errors import BatonError
from registry.ledger import Entry, Route
from registry.promotion import Ports
from registry.refusals import by_clock, refusals_of
from registry.report import PromotionReport
from registry.state import ADVICE, seen, state_of

_STYLES = {"passed": "green", "failed": "red", "skipped": "dim", "noted": "yellow"}


def print_report(report: PromotionReport) -> None:
    """One line a gate."""
    verdict = "passed" if report.passed else "refused"
    table = Table(
        "gate",
        "result",
        "expected",
        "got",
        title=f"{report.model} v{report.version} → {report.stage}: {verdict}",
    )
    for result in report.results:
        style = _STYLES[result.status]
        table.add_row(result.gate, Text(result.status, style), result.expected, result.got)
    out.print(table)


def status_row(ports: Ports, entry: Entry) -> dict[str, Any]:
    """One model's row: the head, whether MLflow shows the same, and what to do if it does not."""
    try:
        shown, text = seen(ports.client, entry.model), ""
    except BatonError as error:
        shown, text = None, str(error)
    state = state_of(entry, *(shown or (None, None)))
    refusals = refusals_of(entry, ports.ledger.statuses(), lives=by_clock(ports.now_ms()))
    if shown is not None:
        production = sorted(shown[0].production)
        text = ", ".join(f"v{v}" for v in production) or "nothing in Production"
    return {
        "entry": brief(entry),
        "state": state.value,
        "todo": ADVICE[state],
        "refused": dict(refusals.reasons),
        "mlflow": text,
    }


def brief(entry: Entry | None) -> dict[str, Any] | None:
    """An entry for people and scripts, without its manifest."""
    if entry is None:
        return None
    return {
        "model": entry.model,
        "version": entry.route.version if entry.route else None,
        "arm": arm(entry.arm),
        "seq": str(entry.key),
        "kind": entry.kind.value,
        "digest": entry.digest,
        "actor": entry.actor,
        "door": entry.door.value,
        "reason": entry.reason,
        "at": moment(entry.at_ms),
        "synced": entry.snapshot is not None,
        "hash": entry.hash,
    }


def arm(route: Route | None) -> dict[str, Any] | None:
    """What is beside the version that serves, for people (`text`) and scripts."""
    if route is None:
        return None
    return {
        "version": route.version,
        "role": route.role.value,
        "percent": round(100 * route.weight, 9),
        "sticky": route.sticky or None,
        "until": moment(route.until_ms),
        "digest": route.digest,
        "text": f"v{route.version}: {described(route)}",
    }


def version_text(version: int | None) -> str:
    """A version as people write it; a dash where nothing serves."""
    return "–" if version is None else f"v{version}"


def moment(at_ms: int) -> str:
    """Unix milliseconds as people read them, in UTC."""
    when = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}Z"


def setting_text(value: object, *, secret: bool) -> str:
    """A setting's value; of a secret only what identifies it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    text = str(value)
    scheme, at, rest = text.partition("://")
    if secret and "@" in rest:
        return f"{scheme}{at}…@{rest.rpartition('@')[2]}"
    return text
