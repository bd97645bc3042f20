"""Ports through which MLflow is changed only while the lease is held.

A registrar that was stopped for a while (a paused machine, a slow database) must not draw over what
its successor drew. The lease is looked at before each write, which costs a look at the clock. The
ledger needs no such fence for its entries, since an append names the head it follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from registry.client import RegistryClient
from registry.lease import Lease
from registry.ledger import Ledger
from registry.promotion import Ports

CLIENT_READS = frozenset(
    {
        "models",
        "version",
        "versions",
        "recent",
        "snapshot",
        "alias",
        "source",
        "download",
        "fetch",
        "run_metrics",
        "model_tag",
    }
)
LEDGER_FREE = frozenset({"id", "head", "heads", "history", "append", "record_report", "statuses"})


class Fenced:
    """One such port. What is not named in `free` is a write: a forgotten method is fenced."""

    def __init__(self, port: object, lease: Lease, *, free: frozenset[str]) -> None:
        """`port` itself stays as it is."""
        self._port = port
        self._lease = lease
        self._free = free

    def __getattr__(self, name: str) -> Any:
        """The port's own; a write is checked when it is called, not when it is looked up."""
        found = getattr(self._port, name)
        return found if name in self._free else self._checked(found)

    def _checked(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **named: Any) -> Any:
            self._lease.check()
            return write(*args, **named)

        return checked


def fenced(ports: Ports, lease: Lease) -> Ports:
    """The same ports, fenced by `lease`: a write raises LeaseLost once it may be another's."""
    return dataclasses.replace(
        ports,
        client=cast("RegistryClient", Fenced(ports.client, lease, free=CLIENT_READS)),
        ledger=cast("Ledger", Fenced(ports.ledger, lease, free=LEDGER_FREE)),
    )
