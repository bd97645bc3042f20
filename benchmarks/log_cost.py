"""`make bench-log`: what writing predictions down costs, and how fast they are shipped.

    python -m benchmarks.log_cost --pairs 20 --seconds 3

Two servers of the same forest for iris, one with the prediction log in its sqlite file and one
without, asked in turns, never at once: as much as 16 connections can ask, then at an eighth of that
in open loop (at half of it the load, which sends from the same processors, is what one would
measure). Before each turn all is shipped. The order within a pair alternates; turns are short and
many, since machines get faster and slower by a third within a minute.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks import open_loop, results
from benchmarks.front import models, wrk
from benchmarks.node import CommandFailed, Node
from benchmarks.open_loop import Order, Phase
from benchmarks.phases import Seen
from benchmarks.processes import settle
from benchmarks.results import Row, Section
from registry.settings import Settings
from serving.shipping.shipper import Shipper
from serving.spool.writer import Writer

_CONNECTIONS = 16
_READY_SECONDS = 60.0
_WORKERS = 2
_RECORDS = 100_000
_PART = 8
_LOGS: Mapping[str, str] = {"on": "", "off": "off"}


@dataclass
class Server:
    """One of the two, while it runs."""

    node: Node
    pid: int
    bodies: Path
    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def ask(self, rate: float, seconds: int) -> None:
        """One turn; `rate` is that of the open loop."""
        settle(self.pid)
        url = self.node.url("/predict")
        found = wrk.load(url, self.pid, self.bodies, connections=_CONNECTIONS, seconds=seconds)
        self.per_second.append(found.per_second)
        settle(self.pid)
        phases = [Phase(rate, 1), Phase(rate, seconds)]
        sent = open_loop.run(
            Order(
                port=self.node.port,
                path="/predict",
                bodies=str(self.bodies),
                connections=_CONNECTIONS,
                workers=_WORKERS,
                phases=phases,
                record=str(self.node.home / "sent.bin"),
            )
        )
        seen = Seen.of(sent.rows, 1, phases, sent.begun)
        self.p50_ms.append(seen.latency_ms(0.5))
        self.p99_ms.append(seen.latency_ms(0.99))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    parser.add_argument("--page", type=Path, default=results.PAGE)
    given = parser.parse_args(arguments)
    console = Console()
    if not wrk.is_there():
        console.print("wrk is needed: apt-get install wrk")
        return 2
    with tempfile.TemporaryDirectory(prefix="baton-log-") as scratch:
        rows, notes = _cost(Path(scratch), given.pairs, given.seconds)
        rows.append(_shipping(Path(scratch) / "ship"))
    words = ["python -m benchmarks.log_cost", *(sys.argv[1:] if arguments is None else arguments)]
    section = Section("The prediction log", " ".join(words), rows, notes)
    results.write(section, page=given.page)
    console.print(results.table(section))
    return 0


def _cost(home: Path, pairs: int, seconds: int) -> tuple[list[Row], list[str]]:
    """Requests a second and p99, with the log and without."""
    model = models.iris(Node(home / "train"), home)
    bodies = home / "bodies.txt"
    lines = (orjson.dumps({"instances": [sample]}) for sample in model.samples)
    bodies.write_bytes(b"".join(line + b"\n" for line in lines))
    with ExitStack() as stack:
        servers = {}
        for name, url in _LOGS.items():
            environ = {
                "BATON_BUNDLE": str(model.files["mlflow"]),
                "BATON_WORKERS": str(_WORKERS),
                "BATON_PREDICTIONS_URL": url,
                "BATON_SPOOL_MB": "8192",  # what is measured ends before anything is full
            }
            node = Node(home / name, environ=environ)
            server = stack.enter_context(node.serving(log=home / f"{name}.log"))
            node.ready(seconds=_READY_SECONDS)
            wrk.warm(node.url("/predict"), bodies, connections=_CONNECTIONS)
            servers[name] = Server(node, server.pid, bodies)
        whole = wrk.rate(
            servers["off"].node.url("/predict"), bodies, connections=_CONNECTIONS, seconds=seconds
        )
        for pair in range(pairs):
            for name in sorted(servers, reverse=bool(pair % 2)):
                servers[name].ask(whole / _PART, seconds)
    on, off = servers["on"], servers["off"]
    kept = [a / b for a, b in zip(on.per_second, off.per_second, strict=True)]
    median = [a - b for a, b in zip(on.p50_ms, off.p50_ms, strict=True)]
    more = [a - b for a, b in zip(on.p99_ms, off.p99_ms, strict=True)]
    rows = [
        Row.of("requests/s, log off", off.per_second, unit="/s", goal=None),
        Row.of("requests/s, log on", on.per_second, unit="/s", goal=None),
        Row.of("requests/s, on ÷ off, by pair", kept, unit="", goal=0.9, at_least=True),
        Row.of("p99 at an eighth of capacity, log off", off.p99_ms, goal=None),
        Row.of("p99 at an eighth of capacity, log on", on.p99_ms, goal=None),
        Row.of("p50, on − off, by pair", median, goal=None),
        Row.of("p99, on − off, by pair", more, goal=0.1),
    ]
    return rows, [
        (
            "two workers share the machine's processors with the load and the shipper; an eighth "
            f"of capacity is {whole / _PART:,.0f} requests/s"
        )
    ]


def _shipping(home: Path) -> Row:
    """Records a second from a spool into the sqlite file."""
    # Not of the request path: nobody who measures that needs it.
    from registry.sql_predictions import open_sink  # noqa: PLC0415

    settings = Settings(home=home).resolved()
    writer = Writer(settings.spool_dir, most_bytes=1 << 34)
    for number in range(_RECORDS):
        writer.append(orjson.dumps(_record(number)))
    writer.close()
    sink = open_sink(settings)
    shipper = Shipper(settings.spool_dir, sink=lambda: sink)
    begun, shipped = time.perf_counter(), 0
    while count := shipper.step():
        shipped += count
    seconds = time.perf_counter() - begun
    if shipped != _RECORDS:
        raise CommandFailed(f"{shipped} of {_RECORDS} records were shipped")
    return Row.of("shipped to sqlite", [shipped / seconds], unit="/s", goal=20_000, at_least=True)


def _record(number: int) -> dict[str, object]:
    """As a worker writes one of iris."""
    return {
        "prediction_id": str(uuid.UUID(int=number)),
        "request_id": f"{number:032x}",
        "attempt_of": f"{number:032x}",
        "time": 1_790_000_000.0 + number / 1000,
        "model": "iris",
        "version": "3",
        "epoch": 1,
        "seq": 7,
        "digest": "d" * 64,
        "arm": "serve",
        "endpoint": "baton",
        "method": "POST",
        "key_id": "0123456789ab",
        "status": 200,
        "error": "",
        "latency_ms": 0.0713,
        "rows": 1,
        "inputs": {"sepal length (cm)": [5.1], "sepal width (cm)": [3.5], "petal": [1.4, 0.2]},
        "outputs": {"label": [0], "probabilities": [[0.98, 0.02, 0.0]]},
        "confidence": 0.98,
    }


if __name__ == "__main__":
    sys.exit(main())
