"""This server beside what people would deploy, or write, to serve the same models.

    python -m benchmarks.front --rounds 3 --seconds 4
    python -m benchmarks.front --near                   # only those written by hand, for speed

In each round every server is started, asked, and ended, one after the other; a ratio is within a
round, the result is the median of the rounds. The load is wrk, in closed loop, on the same machine:
its share of the processors is the same for all. Nothing is measured that answers wrongly.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks import results
from benchmarks.front import lineup, models, wrk
from benchmarks.front.alone import Alone
from benchmarks.front.contender import Contender, Running
from benchmarks.front.measured import MANY, Measured, Memory, all_ratios
from benchmarks.node import ROOT, CommandFailed, Node
from benchmarks.processes import descendants, proportional_mb
from benchmarks.results import Row, Section

_MODELS = ("iris", "forecast", "lstm")
_NODE = "node"
_FIRST = ("iris", lineup.OURS)


@dataclass
class Found:
    """Everything of a run; `failed` says which peers are missing, and why."""

    measured: dict[tuple[str, str], Measured]
    alone: Alone = field(default_factory=Alone)
    failed: list[str] = field(default_factory=list)

    def fail(self, key: tuple[str, str], error: Exception) -> None:
        """Leave one out: what did not hold in one round is no number in another."""
        del self.measured[key]
        self.failed.append(f"{': '.join(key)}: {str(error).splitlines()[0]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if a peer could not be, raises CommandFailed if this server could not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="each load")
    parser.add_argument("--only", choices=_MODELS, action="append", help="some of the models")
    parser.add_argument("--near", action="store_true", help="only those written by hand, for speed")
    parser.add_argument("--page", type=Path, default=results.PAGE)
    given = parser.parse_args(arguments)
    console = Console()
    if not wrk.is_there():
        console.print("wrk is needed: apt-get install wrk")
        return 2
    only = given.only or (["iris"] if given.near else _MODELS)
    with tempfile.TemporaryDirectory(prefix="baton-front-") as scratch:
        contenders = _made(only, Path(scratch), console)
        if given.near:
            contenders = [one for one in contenders if lineup.is_near(one)]
        if absent := lineup.missing(contenders):
            console.print(f"not installed yet, `make bench` does that: {', '.join(absent)}")
            return 2
        found = _rounds(contenders, given.rounds, given.seconds, Path(scratch), console)
    words = ["python -m benchmarks.front", *(sys.argv[1:] if arguments is None else arguments)]
    title = "Front door: beside " + ("what is written by hand" if given.near else "others")
    part = f", only {' and '.join(given.only)}" if given.only else ""
    rows, notes = _said(found)
    notes.insert(0, f"peers: {lineup.versions(contenders)}")
    section = Section(title + part, " ".join(words), rows, notes)
    results.write(section, page=given.page)
    console.print(results.table(section))
    return 1 if found.failed else 0


def _rounds(
    contenders: Sequence[Contender], rounds: int, seconds: int, scratch: Path, console: Console
) -> Found:
    """Start, ask and end everyone, as often as there are rounds; without peers that once failed."""
    found = Found({one.key: Measured(one.model.name, one.name, one.goals) for one in contenders})
    begun = time.monotonic()
    for number in range(rounds):
        for one in contenders:
            if one.key not in found.measured:
                continue
            passed = f"{time.monotonic() - begun:.0f} s"
            said = f"… {passed}, round {number + 1} of {rounds}: {one.model.name}, {one.name}"
            console.print(said)
            into = found.measured[one.key]
            try:
                with one.running(scratch) as server:
                    _measure(one, server, into, seconds, scratch)
                    if one.key == _FIRST:
                        found.alone.measure(
                            one,
                            server,
                            capacity=into.rates(MANY)[-1],
                            seconds=seconds,
                            home=scratch,
                        )
                if one.key == _FIRST:
                    single = lineup.single(one, scratch / _NODE)
                    found.alone.measure_apart(single, seconds=seconds, home=scratch)
            except CommandFailed as error:
                if one.name == lineup.OURS:
                    raise
                console.print(f"    not measured: {error}", markup=False)
                found.fail(one.key, error)
            else:
                _tell(console.print, into)
    return found


def _made(only: Sequence[str], home: Path, console: Console) -> list[Contender]:
    """The models that are asked for, and who serves them."""
    found: list[Contender] = []
    node = Node(home / _NODE)
    if "iris" in only:
        console.print("… training iris")
        found += lineup.on_iris(models.iris(node, home), node.home)
    if "forecast" in only:
        console.print("… training petr4")
        found += lineup.on_forecast(models.forecast(node, home), node.home)
    if "lstm" in only:
        console.print("… making the LSTM")
        python = ROOT / "var" / "environments" / "peers-models" / "bin" / "python"
        found += lineup.on_lstm(models.lstm(python, home), home / "lstm-node")
    return found


def _measure(
    contender: Contender, server: Running, into: Measured, seconds: int, scratch: Path
) -> None:
    """Warm, loads, memory."""
    bodies = contender.bodies(scratch)
    seconds = max(seconds, wrk.warm(server.url, bodies, connections=MANY))
    many = wrk.load(server.url, server.pid, bodies, connections=MANY, seconds=seconds)
    into.loads.setdefault(MANY, []).append(many)
    every = {pid: proportional_mb(pid) for pid in (server.pid, *descendants(server.pid))}
    workers = [every[pid] for pid in many.busiest]
    into.memory.append(Memory(sum(workers) / len(workers), sum(every.values())))
    if contender.goals.times_alone is not None or contender.key == _FIRST:
        one = wrk.load(server.url, server.pid, bodies, connections=1, seconds=seconds)
        into.loads.setdefault(1, []).append(one)


def _tell(say: Callable[[str], None], measured: Measured) -> None:
    for connections, loads in measured.loads.items():
        load = loads[-1]
        say(
            f"    {connections} connections: {load.per_second:,.0f}/s, p99 {load.p99_ms:.2f} ms, "
            f"{load.cpu_ms:.3f} ms CPU a request, a worker {measured.memory[-1].worker:.0f} MB"
        )


def _said(found: Found) -> tuple[list[Row], list[str]]:
    """Ratios first, then what they are made of."""
    rows = all_ratios(found.measured, lineup.OURS) + found.alone.rows()
    notes = [
        (
            "two workers each, alone on the machine; ratios within a round, medians of the rounds; "
            "answers were held against scikit-learn's, Prophet's or Keras's before the clock ran"
        ),
        (
            "a worker's memory: proportional (PSS) under load, mean of the two processes that "
            "spent most CPU; CPU a request: all processes of a server"
        ),
    ]
    notes += found.alone.notes()
    notes += [f"**not measured**: {why}" for why in found.failed]
    for one in found.measured.values():
        rows += one.rows()
        notes += one.notes()
    return rows, notes


if __name__ == "__main__":
    sys.exit(main())
