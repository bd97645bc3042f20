"""Many nodes that look at one ledger, or listen to it, in processes of their own: what it costs."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.ledger_server import LedgerServer, promote
from benchmarks.results import Row
from registry.sql_ledger import SqlLedger

_ROUNDS = 3
_CHILDREN = 4
_WARM_SECONDS = 2.0
_LATE_SECONDS = 4.0  # a busy machine: no connection may end while it is still counted
_NOTICE_SECONDS = 1.0
_HEARD_SECONDS = 0.8
_EARLY_SECONDS = 0.1  # a listener may hear before `append` has returned


def polled(server: LedgerServer, url: str, *, models: int, nodes: int, seconds: float) -> list[Row]:
    """So many nodes, a look a second each."""
    cpu, edges = [], []
    with nodes_apart(
        server,
        "poll",
        url,
        nodes,
        seconds=_WARM_SECONDS + _ROUNDS * seconds + _LATE_SECONDS,
        every=1.0,
    ) as (begin, end):
        begin()
        time.sleep(_WARM_SECONDS)
        for _ in range(_ROUNDS):
            edges.append((time.monotonic(), server.cpu_seconds()))
            time.sleep(seconds)
        edges.append((time.monotonic(), server.cpu_seconds()))
        memory = server.memory_mb()
        took = np.array([pair for said in end() for pair in said["took"]])
    p50, p99, rate = [], [], []
    for (since, cpu_before), (until, cpu_after) in itertools.pairwise(edges):
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


def unpaused(
    server: LedgerServer, url: str, *, models: int, connections: int, seconds: float
) -> list[Row]:
    """A few connections that look without pause: as many looks as this machine bears."""
    cpu, rate = [], []
    for _ in range(_ROUNDS):
        apart = nodes_apart(
            server, "poll", url, connections, seconds=seconds + _LATE_SECONDS, every=0.0
        )
        with apart as (begin, end):
            begin()
            before, begun = server.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            spent, lasted = server.cpu_seconds() - before, time.monotonic() - begun
            ended = begun + lasted
            took = [pair for said in end() for pair in said["took"]]
            looks = sum(begun <= since < ended for since, _ in took)
        cpu.append(spent / looks * 1000)
        rate.append(looks / lasted)
    what = f"{connections} connections without pause, {models:,} models"
    return [
        Row.of(f"{what}: CPU of the server a look", cpu, goal=None),
        Row.of(f"{what}: looks, clients on the same processors", rate, unit="/s", goal=None),
    ]


def heard(server: LedgerServer, url: str, nodes: int, *, notices: int) -> list[Row]:
    """From an append until the last of so many listeners has heard of it."""
    seconds = notices * _NOTICE_SECONDS + _LATE_SECONDS
    ledger = SqlLedger(url)
    appended, costs = [], []
    with nodes_apart(server, "listen", url, nodes, seconds=seconds) as (begin, end):
        begin()
        for number in range(notices):
            before = server.cpu_seconds()
            promote(ledger, f"heard-{nodes}-{number}")
            appended.append(time.monotonic())
            time.sleep(_NOTICE_SECONDS)
            costs.append((server.cpu_seconds() - before) * 1000)
        told = np.sort(np.concatenate([np.array(said["heard"]) for said in end()]))
    ledger.close()
    windows = [
        told[(told >= since - _EARLY_SECONDS) & (told < since + _HEARD_SECONDS)]
        for since in appended
    ]
    last = [
        max(0.0, float(own[-1]) - since) * 1000
        for own, since in zip(windows, appended, strict=True)
        if len(own)
    ]
    what = f"append → the last of {nodes:,} listeners"
    return [
        Row.of(what, last, goal=None),
        Row.of(
            f"{what}: heard in {_HEARD_SECONDS:g} s",
            [len(own) for own in windows],
            unit="",
            goal=None,
        ),
        Row.of(f"{what}: CPU of the server, the append too", costs, goal=None),
    ]


@contextlib.contextmanager
def nodes_apart(
    server: LedgerServer, what: str, url: str, nodes: int, *, seconds: float, every: float = 1.0
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
            assert child.stdout
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
        server.settle()
