"""What each command that changes Production does last: tell others, see that MLflow shows it."""

from __future__ import annotations

from typing import Any

from registry.console import err
from registry.ledger import Entry
from registry.nudge import knock
from registry.projection import settle
from registry.promotion import Ports
from registry.settings import Settings
from registry.views import brief

_SETTLE_SECONDS = 30.0


def announced(ports: Ports, settings: Settings, entry: Entry | None) -> dict[str, Any]:
    """Tell this machine's watcher, then see that MLflow shows the entry; returns it for scripts."""
    if entry is None:
        return {"entry": None}
    knock(settings.watcher_socket)
    knock(settings.registrar_socket)
    synced = settle(ports, entry, seconds=_SETTLE_SECONDS)
    if not synced:
        err.print("warning: MLflow does not show it yet; the registrar will see to that")
    return {"entry": {**(brief(entry) or {}), "synced": synced}}
