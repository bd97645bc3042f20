"""`make bench-overload`: five times more requests than the server can answer, for half a minute.

    python -m benchmarks.overload --path loop --path crew --seconds 30

Once with a model that is answered on the event loop (about 1 ms a request), once with one that goes
to the threads (about 10 ms). Capacity is what 16 always busy connections get, before and after. In
between, in open loop: half of it, all of it, half, five times as much, half again. Health is asked
all the while.

One worker, on a processor of its own, with the load on another: what the load takes is not the
server's to give.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import heavy, open_loop, processors, results
from benchmarks.front import wrk
from benchmarks.health import Health
from benchmarks.node import CommandFailed, Node
from benchmarks.open_loop import Order, Phase, Sent
from benchmarks.phases import Seen
from benchmarks.processes import settle
from benchmarks.results import Row, Section

_MODEL_SECONDS: Mapping[str, float] = {"loop": 0.001, "crew": 0.010}
_OPEN: Mapping[str, int] = {"loop": 1000, "crew": 256}  # connections
_TIMES = 5
_CLOSED = 16
_WORKERS = 1
_CLOSED_SECONDS = 5
_SAMPLES = 64
_READY_SECONDS = 60.0
_STEADY_SECONDS = 8.0
_HALF, _FULL, _BEFORE, _OVER, _AFTER = range(5)


@dataclass(frozen=True)
class Run:
    """One server under overload."""

    path: str
    products: int
    capacity: Sequence[float]
    sent: Sent
    phases: Sequence[Phase]
    health: Health

    def seen(self, number: int) -> Seen:
        """One phase."""
        return Seen.of(self.sent.rows, number, self.phases, self.sent.begun)

    def rows(self) -> list[Row]:
        """With the goals."""
        full, before, over, after = map(self.seen, (_FULL, _BEFORE, _OVER, _AFTER))
        seconds = over.seconds

        def row(what: str, *values: float, unit: str = "", goal: float | None = None) -> Row:
            return Row.of(f"{self.path}: {what}", values, unit=unit, goal=goal)

        kept = [over.goodput / one for one in self.capacity]
        return [
            row("capacity", *self.capacity, unit="/s"),
            row("sent under overload", len(over.rows) / seconds, unit="/s"),
            Row.of(f"{self.path}: goodput ÷ capacity", kept, unit="", goal=0.9, at_least=True),
            row("p99 at capacity", full.latency_ms(0.99), unit="ms"),
            row("p99 of what is accepted", over.latency_ms(0.99), unit="ms"),
            row(
                "p99 of what is accepted ÷ p99 at capacity",
                over.latency_ms(0.99) / full.latency_ms(0.99),
                goal=2.0,
            ),
            row("p99 until a refusal", over.shed_ms(0.99), unit="ms", goal=10.0),
            row("refusals without Retry-After", over.unexplained, goal=0),
            row("neither answered nor refused", over.failed, goal=0),
            row("health refused or failed", self.health.bad, goal=0),
            row(
                "recovered after",
                after.recovered_seconds(2 * before.latency_ms(0.99)),
                unit="s",
                goal=5.0,
            ),
        ]

    def notes(self) -> list[str]:
        """What has to be known to read them."""
        full, over, after = map(self.seen, (_FULL, _OVER, _AFTER))
        whole = sum(phase.seconds for phase in self.phases)
        return [
            (
                f"{self.path}: a chain of {self.products} products of 128 × 128 matrices, about "
                f"{_MODEL_SECONDS[self.path] * 1000:g} ms of CPU"
            ),
            (
                f"{self.path}: at capacity, {len(full.shed):,} of {len(full.rows):,} were shed and "
                f"{full.failed:,} failed; after the overload {len(after.shed):,} of "
                f"{len(after.rows):,} were shed, the rest had p99 {after.latency_ms(0.99):.1f} ms"
            ),
            (
                f"{self.path}: {len(over.rows):,} sent in {over.seconds:g} s, "
                f"{len(over.accepted):,} accepted, {len(over.shed):,} shed, refusals at most "
                f"{over.shed_ms(1.0):.0f} ms, {over.given_up:,} found no connection free"
            ),
            (
                f"{self.path}: the load took {self.sent.cpu_seconds / whole:.2f} of its processor, "
                f"on average of {whole:g} s; {self.health.note()}"
            ),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--path", choices=[*_MODEL_SECONDS], action="append")
    parser.add_argument("--seconds", type=float, default=30.0, help="of overload")
    parser.add_argument("--page", type=Path, default=results.PAGE)
    given = parser.parse_args(arguments)
    console = Console()
    if not wrk.is_there():
        console.print("wrk is needed: apt-get install wrk")
        return 2
    runs = []
    for path in given.path or _MODEL_SECONDS:
        console.print(f"… {path}")
        with tempfile.TemporaryDirectory(prefix="baton-overload-") as scratch:
            runs.append(_run(path, Path(scratch), given.seconds))
    words = ["python -m benchmarks.overload", *(sys.argv[1:] if arguments is None else arguments)]
    notes = [
        (
            "one worker on a processor of its own, the load on another; accepted and shed are told "
            "apart by status; latency from when a request was due, until a refusal from when it "
            "was sent"
        ),
        *(note for run in runs for note in run.notes()),
    ]
    rows = [row for run in runs for row in run.rows()]
    section = Section(f"Overload, {_TIMES} times capacity", " ".join(words), rows, notes)
    results.write(section, page=given.page)
    console.print(results.table(section))
    return 0


def _run(path: str, home: Path, seconds: float) -> Run:
    """Start a server, find its capacity, send the phases."""
    of_server, of_load = processors.apart()
    products = heavy.make(home / "heavy", seconds=_MODEL_SECONDS[path])
    node = Node(
        home / "node", environ={"BATON_BUNDLE": str(home / "heavy"), "BATON_WORKERS": str(_WORKERS)}
    )
    bodies = home / "bodies.txt"
    lines = (json.dumps({"instances": [[float(n)]]}) for n in range(_SAMPLES))
    bodies.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with ExitStack() as stack:
        with processors.on(of_server):
            server = stack.enter_context(node.serving(log=home / "server.log"))
        stack.enter_context(processors.on(of_load))
        node.ready(seconds=_READY_SECONDS)
        if (got := node.call("/predict", {"instances": [[7.0]]})["predictions"]) != [[7.0]]:
            raise CommandFailed(f"expected [[7.0]], got {got}")
        settle(server.pid)
        url = node.url("/predict")
        wrk.warm(url, bodies, connections=_CLOSED)
        capacity = [wrk.rate(url, bodies, connections=_CLOSED, seconds=_CLOSED_SECONDS)]
        phases = _phases(capacity[0], seconds)
        with Health(node.port) as health:
            sent = open_loop.run(
                Order(
                    port=node.port,
                    path="/predict",
                    bodies=str(bodies),
                    connections=_OPEN[path],
                    workers=_WORKERS,
                    phases=phases,
                    record=str(home / "overload.bin"),
                )
            )
        capacity.append(wrk.rate(url, bodies, connections=_CLOSED, seconds=_CLOSED_SECONDS))
    return Run(path, products, capacity, sent, phases, health)


def _phases(capacity: float, seconds: float) -> Sequence[Phase]:
    """See the module."""
    steady = min(_STEADY_SECONDS, seconds)
    rates = (0.5, 1.0, 0.5, _TIMES, 0.5)
    lengths = (steady, steady, steady, seconds, steady)
    return [Phase(rate * capacity, length) for rate, length in zip(rates, lengths, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
