"""What one node, and the registrar, cost the ledger's database besides looking for news."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from benchmarks.ledger_server import LedgerServer
from benchmarks.results import Row
from registry.ledger import Key
from registry.sql_ledger import SqlLedger
from serving.assignments import Assignment, Held
from serving.node.heads import LedgerHeads
from serving.node.status import Status

_LOOKS = 20
_STATUSES = 50
_REGISTRARS_LOOKS = 5
_STATUS_SECONDS = 5.0


def first_look(server: LedgerServer, url: str, models: int) -> list[Row]:
    """Every head whole, as a node reads them once, at its start."""
    ledger = SqlLedger(url)
    ledger.heads()
    server.settle()
    cpu, took = [], []
    for _ in range(_LOOKS):
        before, begun = server.cpu_seconds(), time.monotonic()
        LedgerHeads(lambda: ledger).news()
        took.append((time.monotonic() - begun) * 1000)
        cpu.append((server.cpu_seconds() - before) * 1000)
    ledger.close()
    what = f"a node's first look, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server", cpu, goal=None),
        Row.of(f"{what}: all of it, in the node", took, goal=None),
    ]


def status_row(server: LedgerServer, url: str, models: int) -> list[Row]:
    """A node's own row, as its watcher writes it."""
    ledger = SqlLedger(url)
    held, status = _held(models), Status("node-0", lambda: ledger, teller=_AtOnce())
    status.tell(held, 0.0)
    cpu, log = [], server.log_bytes(url)
    server.settle()
    for number in range(1, _STATUSES + 1):
        before = server.cpu_seconds()
        status.tell(held, number * _STATUS_SECONDS)
        cpu.append((server.cpu_seconds() - before) * 1000)
    written = [(server.log_bytes(url) - log) / _STATUSES / 1000]
    assert len(ledger.statuses()["node-0"]["models"]) == models
    ledger.close()
    what = f"a node's row of status, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server", cpu, goal=None),
        Row.of(f"{what}: into the server's log", written, unit="kB", goal=None),
    ]


def registrars_look(server: LedgerServer, url: str, *, models: int, nodes: int) -> list[Row]:
    """All rows of status, as the registrar reads them at every poll."""
    ledger = SqlLedger(url)
    held = _held(models)
    for number in range(nodes):
        Status(f"node-{number}", lambda: ledger, teller=_AtOnce()).tell(held, 0.0)
    server.settle()
    cpu, took = [], []
    for _ in range(_REGISTRARS_LOOKS):
        before, begun = server.cpu_seconds(), time.monotonic()
        assert len(ledger.statuses()) >= nodes
        took.append((time.monotonic() - begun) * 1000)
        cpu.append((server.cpu_seconds() - before) * 1000)
    ledger.close()
    what = f"the registrar's look at {nodes:,} rows of status, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server", cpu, goal=None),
        Row.of(f"{what}: all of it, in the registrar", took, goal=None),
    ]


def _held(models: int) -> Mapping[str, Held]:
    """What a node that serves all of a ledger's models holds."""
    names = [f"model-{number:04}" for number in range(models)]
    return {
        name: Held(
            index=number,
            current=Assignment(model=name, version=1, digest="0" * 64, key=Key(1, 1), since_ms=1),
        )
        for number, name in enumerate(names)
    }


class _AtOnce(Executor):
    """Does what it is given before it returns, and raises what that raises."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
