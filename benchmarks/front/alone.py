"""What is measured of this server alone: latency at half of its capacity, requests of many rows.

The latency twice: two workers that share the machine with the load, and one worker on a processor
of its own, with the load on another.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import open_loop, processors
from benchmarks.front import wrk
from benchmarks.front.contender import Contender, Running
from benchmarks.front.measured import MANY
from benchmarks.open_loop import Order, Phase
from benchmarks.phases import Seen
from benchmarks.results import Row

_CONNECTIONS = 32
_ROWS = 1000
_ROWS_CONNECTIONS = 4
_GOAL_MS = 3.0


@dataclass
class Half:
    """An open loop at half of what a closed one had, by round."""

    p99_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def ask(
        self, contender: Contender, server: Running, *, rate: float, workers: int, home: Path
    ) -> None:
        """One round of 4 s, after one that does not count."""
        phases = [Phase(rate, 1), Phase(rate, 4)]
        sent = open_loop.run(
            Order(
                port=server.port,
                path=contender.path,
                bodies=str(contender.bodies(home)),
                connections=_CONNECTIONS,
                workers=workers,
                phases=phases,
                record=str(home / "half.bin"),
            )
        )
        self.p99_ms.append(Seen.of(sent.rows, 1, phases, sent.begun).latency_ms(0.99))
        self.rates.append(rate)

    def row(self, where: str) -> Row:
        """With the goal, which is the same for both."""
        return Row.of(f"iris: baton, p99 at half of capacity, {where}", self.p99_ms, goal=_GOAL_MS)

    def said(self) -> str:
        """The rates."""
        return ", ".join(f"{rate:,.0f}" for rate in self.rates)


@dataclass
class Alone:
    """By round."""

    apart: Half = field(default_factory=Half)
    beside: Half = field(default_factory=Half)
    thousands_a_core: list[float] = field(default_factory=list)

    def measure(
        self, contender: Contender, server: Running, *, capacity: float, seconds: int, home: Path
    ) -> None:
        """What is asked of the two workers that were compared."""
        self.beside.ask(contender, server, rate=capacity / 2, workers=2, home=home)
        rows = [contender.model.samples[n % len(contender.model.samples)] for n in range(_ROWS)]
        bodies = home / "rows.txt"
        bodies.write_text(json.dumps({"instances": rows}) + "\n", encoding="utf-8")
        many = wrk.load(
            server.url, server.pid, bodies, connections=_ROWS_CONNECTIONS, seconds=seconds
        )
        self.thousands_a_core.append(_ROWS / many.cpu_ms)

    def measure_apart(self, contender: Contender, *, seconds: int, home: Path) -> None:
        """Start one of a single worker, and ask that."""
        of_server, of_load = processors.apart()
        bodies = contender.bodies(home)
        with ExitStack() as stack:
            with processors.on(of_server):
                server = stack.enter_context(contender.running(home))
            with processors.on(of_load):
                wrk.warm(server.url, bodies, connections=MANY)
                rate = wrk.rate(server.url, bodies, connections=MANY, seconds=seconds)
                self.apart.ask(contender, server, rate=rate / 2, workers=1, home=home)

    def rows(self) -> list[Row]:
        """With their goals; empty if nothing was measured."""
        if not self.thousands_a_core:
            return []
        return [
            self.apart.row("load on another processor"),
            self.beside.row("load on the same processors"),
            Row.of(
                f"iris: baton, {_ROWS:,} rows in one request",
                self.thousands_a_core,
                unit="thousand rows/s a core",
                goal=200,
                at_least=True,
            ),
        ]

    def notes(self) -> list[str]:
        """What half of capacity was."""
        if not self.thousands_a_core:
            return []
        return [
            (
                f"half of capacity, open loop, from when each was due: {self.apart.said()} "
                f"requests/s to one worker on a processor of its own; {self.beside.said()} to two "
                "workers, the load on their processors and at real-time priority"
            )
        ]
