"""What was seen of each server, round by round, and the rows and notes that say it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.front.contender import Goals
from benchmarks.front.wrk import Load
from benchmarks.results import Row

MANY = 16  # connections


@dataclass(frozen=True)
class Memory:
    """Proportional memory in MB under load: of one worker, and of all processes of the server."""

    worker: float
    all: float


@dataclass
class Measured:
    """One server's loads by connections, and its memory; an entry a round in each."""

    model: str
    name: str
    goals: Goals = field(default_factory=Goals)
    loads: dict[int, list[Load]] = field(default_factory=dict)
    memory: list[Memory] = field(default_factory=list)

    def rates(self, connections: int) -> list[float]:
        """Requests a second, by round."""
        return [load.per_second for load in self.loads[connections]]

    @property
    def workers_mb(self) -> list[float]:
        """A worker's memory, by round."""
        return [one.worker for one in self.memory]

    def rows(self) -> list[Row]:
        """Its own figures; no goals."""
        what = f"{self.model}: {self.name}"
        rows = [
            Row.of(f"{what}, {_connections(count)}", self.rates(count), unit="/s", goal=None)
            for count in self.loads
        ]
        return [*rows, Row.of(f"{what}, a worker", self.workers_mb, unit="MB", goal=None)]

    def notes(self) -> list[str]:
        """What the rows leave out."""
        notes = []
        for count, loads in self.loads.items():
            shares = ", ".join("/".join(f"{one:.2f}" for one in load.shares) for load in loads)
            uneven = sum(load.is_lopsided for load in loads) if count > 1 else 0
            still = f"; {uneven} of {len(loads)} hit one worker even so" if uneven else ""
            again = sum(load.tries - 1 for load in loads)
            notes.append(
                f"{self.model}: {self.name}, {_connections(count)}: p99 "
                f"{max(load.p99_ms for load in loads):.2f} ms at most, "
                f"{min(load.cpu_ms for load in loads):.3f} ms CPU a request at least, shares of "
                f"the two busiest processes {shares}"
                + (f" (after {again} repeated loads{still})" if again else "")
            )
        whole = max(one.all for one in self.memory)
        return [*notes, f"{self.model}: {self.name}: all its processes {whole:.0f} MB"]


def ratios(ours: Measured, theirs: Measured) -> list[Row]:
    """The rows that hold this server against another, each ratio within a round."""
    goals, what = theirs.goals, f"{theirs.model}: baton ÷ {theirs.name}"
    rows = [_times(f"{what}, {MANY} connections", ours, theirs, MANY, goals.times)]
    if goals.times_alone is not None:
        rows.append(_times(f"{what}, 1 connection", ours, theirs, 1, goals.times_alone))
    if goals.cpu is not None:
        spent = [
            mine.cpu_ms / other.cpu_ms
            for mine, other in zip(ours.loads[MANY], theirs.loads[MANY], strict=True)
        ]
        rows.append(Row.of(f"{what}, CPU a request", spent, unit="", goal=goals.cpu))
    taken = divided(ours.workers_mb, theirs.workers_mb)
    return [*rows, Row.of(f"{what}, memory of a worker", taken, unit="", goal=goals.memory)]


def divided(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """One ratio a round; the rounds have to be the same ones."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def all_ratios(measured: Mapping[tuple[str, str], Measured], ours: str) -> list[Row]:
    """Every comparison, in the order of the line-up."""
    return [
        row
        for (model, name), one in measured.items()
        if name != ours
        for row in ratios(measured[model, ours], one)
    ]


def _times(
    name: str, ours: Measured, theirs: Measured, connections: int, goal: float | None
) -> Row:
    found = divided(ours.rates(connections), theirs.rates(connections))
    return Row.of(name, found, unit="×", goal=goal, at_least=True)


def _connections(count: int) -> str:
    return f"{count} connections" if count > 1 else "1 connection"
