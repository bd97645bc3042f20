"""What a node says of itself: its row in the ledger, and its gauges.

The row is written at every change and every few seconds, on a thread of its own: a ledger that is
slow or locked delays no swap.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from registry.errors import BatonError, SettingsError
from registry.ledger import Ledger
from serving import metrics
from serving.assignments import Held

_log = logging.getLogger("serving.watcher")
_STATUS_SECONDS = 5.0
_NICENESS = 10


@dataclass
class Status:
    """This node's row; no `ledger` is nobody to tell."""

    node: str
    ledger: Callable[[], Ledger] | None
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    teller: Executor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "status", initializer=_step_back)
    )
    _changed: bool = True
    _told_at: float = float("-inf")
    _telling: Future[bool] | None = None
    _complaint: str = ""

    def show(self, model: str, held: Held) -> None:
        """Something changed: set the gauges, and tell the ledger soon."""
        current = held.current
        metrics.SERVED_SEQ.labels(model).set(current.key.seq if current else 0)
        metrics.SERVED_VERSION.labels(model).set(current.version if current else 0)
        metrics.SERVED_SINCE.labels(model).set(current.since_ms / 1000 if current else 0)
        metrics.DEGRADED.labels(model).set(1 if held.refused else 0)
        self._changed = True

    def tell(self, models: Mapping[str, Held], now: float) -> None:
        """Write the row if it is time, and nobody is writing it."""
        if self._telling and self._telling.done():
            self._changed |= not self._telling.result()
            self._telling = None
        if self.ledger is None or self._telling:
            return
        if self._changed or now - self._told_at >= _STATUS_SECONDS:
            self._changed, self._told_at = False, now
            self._telling = self.teller.submit(self._write, dict(models))

    def _write(self, models: Mapping[str, Held]) -> bool:
        if self.ledger is None:
            return True
        said = {name: _said(held) for name, held in models.items() if held.key or held.refused}
        try:
            self.ledger().write_status(self.node, {"models": said}, at_ms=self.clock_ms())
        except BatonError as error:
            # A ledger that is away is told of by who reads it.
            is_new = isinstance(error, SettingsError) and str(error) != self._complaint
            level = logging.WARNING if is_new else logging.DEBUG
            _log.log(level, "the node's status could not be written: %s", error)
            self._complaint = str(error)
            return False
        return True


def _step_back() -> None:
    """This thread (on Linux, only this one) comes after requests: a row of many models is long."""
    os.nice(_NICENESS)


def _said(held: Held) -> dict[str, object]:
    return {
        "version": held.current.version if held.current else None,
        "seq": str(held.key) if held.key else None,
        "refused": held.refused,
        "refused_seq": str(held.refused_key) if held.refused_key else None,
    }
