"""`make bench-polling`: what nodes cost the database that has the ledger; a section of `RESULTS.md`.

    python -m benchmarks.polling                               everything, about ten minutes
    python -m benchmarks.polling --nodes 10 100 --models 1000 --seconds 5

A real PostgreSQL, a real ledger in it, and the watcher's own look at it from as many connections
as there would be nodes. What counts is the server's CPU, by the scheduler's own account: it does not
depend on what else the machine does; latencies do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import results
from benchmarks.ledger_server import LedgerServer, promote
from benchmarks.results import Row, Section
from registry.ledger import Key
from registry.sql_ledger import SqlLedger
from serving.assignments import Assignment, Held
from serving.node.heads import LedgerHeads
from serving.node.status import Status

_ROUNDS = 3
_CHILDREN = 4
_FULL_CONNECTIONS = 16
_LOOKS = 20
_STATUSES = 50
_NOTICES = 20
_NOTICE_PAUSE_SECONDS = 0.5
_STATUS_SECONDS = 5.0
_QUIET_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the section, show it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.polling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--nodes", type=int, nargs="+", default=[10, 100, 1000], help="at once (%(default)s)")
    add("--models", type=int, nargs="+", default=[1, 100, 1000], help="in a ledger (%(default)s)")
    add("--seconds", type=float, default=10.0, help="of each of three rounds (%(default)s)")
    add("--page", type=Path, default=results.PAGE, help="where the section goes")
    given = parser.parse_args(arguments)
    console = Console()
    rows: list[Row] = []

    def told(more: Sequence[Row]) -> None:
        for row in more:
            console.print("  ".join(row.cells()), highlight=False)
        rows.extend(more)

    most = max(*given.nodes, _FULL_CONNECTIONS)
    with LedgerServer.running(most_connections=most + 50) as server:
        idle = _idle(server)
        for models in given.models:
            url = server.ledger(models)
            for nodes in given.nodes:
                told(_polled(server, url, models=models, nodes=nodes, seconds=given.seconds))
            told(_first_look(server, url, models))
            told(_statuses(server, url, models))
        told(_full(server, url, models=given.models[-1], seconds=given.seconds))
        for nodes in given.nodes:
            told(_heard(server, url, nodes))
    made_by = shlex.join(["python", "-m", "benchmarks.polling", *sys.argv[1:]])
    notes = [
        "a look is `LedgerHeads.news` over a connection of its own, once a second each: what a "
        "watcher does when nothing changed; the connection is checked before it, as there",
        "CPU of all of PostgreSQL's processes, in user and in kernel mode, by /proc's schedstat; "
        f"idle, without a connection, they use {idle * 1000:.2g} ms a second",
        "latencies, and looks a second at full speed, are of a machine whose processors the "
        "clients share with the server, here and with whatever else ran; the server's CPU is not",
        f"a row of status is written every {_STATUS_SECONDS:g} s by each node, whole; bytes are of "
        "the server's log (WAL)",
        "fsync is off, as in the tests: a status row costs no wait for a disk here",
    ]
    section = Section("Nodes that poll one ledger", made_by, rows, notes, packages=_PACKAGES)
    results.write(section, page=given.page)
    console.print(results.table(section))
    return 0


_PACKAGES = ("sqlalchemy", "psycopg2-binary")


def _idle(server: LedgerServer) -> float:
    """CPU seconds a second that the server takes for itself."""
    before = server.cpu_seconds()
    time.sleep(_QUIET_SECONDS)
    return (server.cpu_seconds() - before) / _QUIET_SECONDS


def _polled(
    server: LedgerServer, url: str, *, models: int, nodes: int, seconds: float
) -> list[Row]:
    """So many nodes, a look a second each."""
    cpu, edges = [], []
    with _children("poll", url, nodes, seconds=_ROUNDS * seconds, every=1.0) as (begin, end):
        begin()
        for _ in range(_ROUNDS):
            edges.append((time.monotonic(), server.cpu_seconds()))
            time.sleep(seconds)
        edges.append((time.monotonic(), server.cpu_seconds()))
        memory = server.memory_mb()
        took = np.array([pair for said in end() for pair in said["took"]])
    p50, p99, rate = [], [], []
    for (since, cpu_before), (until, cpu_after) in zip(edges, edges[1:], strict=False):
        inside = took[(took[:, 0] >= since) & (took[:, 0] < until)]
        cpu.append((cpu_after - cpu_before) / len(inside) * 1000)
        rate.append(len(inside) / (until - since))
        p50.append(float(np.quantile(inside[:, 1], 0.5)) * 1000)
        p99.append(float(np.quantile(inside[:, 1], 0.99)) * 1000)
    what = f"{nodes:,} nodes, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server a look", cpu, goal=None),
        Row.of(f"{what}: looks", rate, unit="/s", goal=None),
        Row.of(f"{what}: a look, p50", p50, goal=None),
        Row.of(f"{what}: a look, p99", p99, goal=None),
        Row.of(f"{what}: memory of the server", [memory], unit="MB", goal=None),
    ]


def _full(server: LedgerServer, url: str, *, models: int, seconds: float) -> list[Row]:
    """A few connections that look without pause: as many looks as this machine bears."""
    cpu, rate = [], []
    for _ in range(_ROUNDS):
        full = _children("poll", url, _FULL_CONNECTIONS, seconds=seconds, every=0.0)
        with full as (begin, end):
            begin()
            before, begun = server.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            spent, lasted = server.cpu_seconds() - before, time.monotonic() - begun
            looks = sum(len(said["took"]) for said in end())
        cpu.append(spent / looks * 1000)
        rate.append(looks / lasted)
    what = f"{_FULL_CONNECTIONS} connections without pause, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server a look", cpu, goal=None),
        Row.of(f"{what}: looks, clients on the same processors", rate, unit="/s", goal=None),
    ]


def _first_look(server: LedgerServer, url: str, models: int) -> list[Row]:
    """Every head whole, as a node reads them once, at its start."""
    ledger = SqlLedger(url)
    ledger.heads()
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


def _statuses(server: LedgerServer, url: str, models: int) -> list[Row]:
    """A node's own row, as its watcher writes it."""
    ledger = SqlLedger(url)
    held = {
        f"model-{number:04}": Held(
            index=number,
            current=Assignment(
                model=f"model-{number:04}", version=1, digest="0" * 64, key=Key(1, 1), since_ms=1
            ),
        )
        for number in range(models)
    }
    status = Status("node-0", lambda: ledger, teller=_AtOnce())
    status.tell(held, 0.0)
    cpu, written = [], []
    for number in range(1, _STATUSES + 1):
        log, before = server.log_bytes(url), server.cpu_seconds()
        status.tell(held, number * _STATUS_SECONDS)
        cpu.append((server.cpu_seconds() - before) * 1000)
        written.append((server.log_bytes(url) - log) / 1000)
    assert len(ledger.statuses()["node-0"]["models"]) == models
    ledger.close()
    what = f"a node's row of status, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server", cpu, goal=None),
        Row.of(f"{what}: into the server's log", written, unit="kB", goal=None),
    ]


def _heard(server: LedgerServer, url: str, nodes: int) -> list[Row]:
    """From an append until the last of so many listeners has heard of it."""
    seconds = _NOTICES * _NOTICE_PAUSE_SECONDS + _QUIET_SECONDS
    ledger = SqlLedger(url)
    appended, costs = [], []
    with _children("listen", url, nodes, seconds=seconds) as (begin, end):
        begin()
        for number in range(_NOTICES):
            before = server.cpu_seconds()
            promote(ledger, f"heard-{nodes}-{number}")
            appended.append(time.monotonic())
            time.sleep(_NOTICE_PAUSE_SECONDS)
            costs.append((server.cpu_seconds() - before) * 1000)
        heard = np.sort(np.concatenate([np.array(said["heard"]) for said in end()]))
    ledger.close()
    last = []
    for since in appended:
        own = heard[(heard >= since - _NOTICE_PAUSE_SECONDS / 5) & (heard < since + 0.4)]
        if len(own) != nodes:
            raise RuntimeError(f"{len(own)} of {nodes} listeners heard of an append")
        last.append(max(0.0, float(own[-1]) - since) * 1000)
    what = f"append → the last of {nodes:,} listeners"
    return [
        Row.of(what, last, goal=None),
        Row.of(f"{what}: CPU of the server, the append too", costs, goal=None),
    ]


class _AtOnce(Executor):
    """Does what it is given before it returns, and raises what that raises."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@contextlib.contextmanager
def _children(
    what: str, url: str, nodes: int, *, seconds: float, every: float = 1.0
) -> Iterator[tuple[Callable[[], None], Callable[[], list[dict[str, Any]]]]]:
    """Start processes with so many nodes together; gives what begins them and what awaits them."""
    shares = [len(range(first, nodes, _CHILDREN)) for first in range(_CHILDREN)]
    options = ["--seconds", str(seconds), "--every", str(every)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pollers", what, "--nodes", str(share), *options],
            env={**os.environ, "BATON_LEDGER_URL": url},
            cwd=results.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
        if share
    ]

    def begin() -> None:
        for child in started:
            assert child.stdin and child.stdout
            if child.stdout.readline() != "ready\n":
                raise RuntimeError("a process of nodes could not connect: see above")
        for child in started:
            assert child.stdin
            child.stdin.write("now\n")
            child.stdin.flush()

    def end() -> list[dict[str, Any]]:
        return [json.loads(child.communicate()[0]) for child in started]

    try:
        yield begin, end
    finally:
        for child in started:
            child.kill()
            child.wait()


if __name__ == "__main__":
    raise SystemExit(main())
