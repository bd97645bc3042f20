"""Whether the nodes serve a model, by their own word in the ledger: no node is asked itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from registry.errors import BatonError
from registry.ledger import Ledger
from training.monitoring.metrics import Health


class Nodes(Protocol):
    """Where the nodes' word comes from."""

    def look(self, model: str) -> Health | None:
        """How a model is; None where nobody can tell."""


class LedgerNodes:
    """The rows that nodes write into the ledger."""

    def __init__(self, ledger: Ledger, *, timer: Callable[[], float] = time.perf_counter) -> None:
        """`timer` counts seconds."""
        self._ledger = ledger
        self._timer = timer

    def look(self, model: str) -> Health | None:
        """See `Nodes.look`; the time is that of the ledger's answer."""
        begun = self._timer()
        try:
            nodes = self._ledger.statuses().values()
        except BatonError:  # it does not answer, or its role may not ask
            return None
        held = [node["models"][model] for node in nodes if model in node.get("models", {})]
        return Health(
            nodes=len(held),
            serving=sum(not one.get("refused") for one in held),
            response_ms=(self._timer() - begun) * 1000,
        )
