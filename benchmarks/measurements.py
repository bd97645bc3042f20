"""The swap's measurements by name: each makes a section of `RESULTS.md` from a number of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import around, click, control, convergence, history, many, steady
from benchmarks.around import Run
from benchmarks.many import Crowd
from benchmarks.results import Row, Section
from benchmarks.versions import Versions

_SLOW_SECONDS = 5.0
_WINDOWS = (
    "near: requests due within 1 s of a swap's first answer; without: due in the 2 s before each "
    "entry, 2 s after anything of the swap before; from when a request was due; one ratio a run"
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Sizes, where to work and where raw histories stay; `tell` hears what is done, of what."""

    command: str
    scratch: Path
    raw: Path
    requests: int
    swaps: int
    runs: int
    windows: int
    models: int
    rate: float
    tell: Callable[[str, int, int], None] = field(repr=False)

    def telling(self, what: str) -> Callable[[int, int], None]:
        """`tell` for one part."""
        return partial(self.tell, what)

    def kept(self, name: str, record: Path) -> tuple[Path, str]:
        """Compress a recording and put it where raw histories stay."""
        self.raw.mkdir(parents=True, exist_ok=True)
        return history.keep(record.rename(self.raw / f"{name}.bin"))


def plain(bench: Bench) -> Section:
    """p99 near swaps of a small version."""
    runs = [
        around.run(
            bench.scratch / f"plain-{n}",
            Versions(bench.scratch / f"plain-{n}" / "versions"),
            swaps=bench.windows,
            rate=bench.rate,
            tell=bench.telling(f"run {n + 1} of {bench.runs}"),
        )
        for n in range(bench.runs)
    ]
    rows = around.rows(runs, "a small ONNX version", p99=1.10, p999=1.5, loading=None)
    return _around(bench, "plain", rows, runs)


def sleeping(bench: Bench) -> Section:
    """The same with a version whose every load sleeps 5 s."""
    runs = [
        around.run(
            bench.scratch / f"sleeping-{n}",
            Versions(bench.scratch / f"sleeping-{n}" / "versions", sleep_seconds=_SLOW_SECONDS),
            swaps=_few(bench),
            rate=bench.rate,
            tell=bench.telling(f"run {n + 1} of {bench.runs}"),
        )
        for n in range(bench.runs)
    ]
    rows = around.rows(runs, "a load that sleeps 5 s", p99=1.10, p999=1.5, loading=None)
    note = (
        "the sleep is a stand-in (`benchmarks/standin/sitecustomize.py`, on the PYTHONPATH of this "
        "server only): `Servable.load` sleeps in the trial and in every worker"
    )
    return _around(bench, "sleeping", rows, runs, note)


def burning(bench: Bench, *, full: bool) -> Section:
    """The same with a version whose every load computes for 5 s: ONNX Runtime folds constants."""
    name = "burning-full" if full else "burning"
    products = around.burn_products(bench.scratch / name, seconds=_SLOW_SECONDS)
    runs = [
        around.run(
            bench.scratch / f"{name}-{n}",
            Versions(bench.scratch / f"{name}-{n}" / "versions", burn_products=products),
            swaps=max(1, _few(bench) // 2) if full else _few(bench),
            rate=None if full else bench.rate,
            tell=bench.telling(f"run {n + 1} of {bench.runs}"),
        )
        for n in range(bench.runs)
    ]
    what = "a load that burns 5 s of CPU" + (" beside full workers" if full else "")
    rows = around.rows(runs, what, p99=1.5, p999=None, loading=1.5)
    notes = [
        (
            f"no stand-in: {products} products of constant 512 × 512 matrices, which "
            "ONNX Runtime multiplies at every load (trial, workers): 5 s of a trial before the runs"
        )
    ]
    if full:
        notes.append(
            "full: 0.7 of what 16 connections that are always busy get of one worker on a "
            "processor of its own, with the load on another; measured each run; 20 s more between "
            "swaps, to catch up with what came late"
        )
    return _around(bench, name, rows, runs, *notes)


def controlled(bench: Bench) -> Section:
    """What a load that burns does to requests, where the server has no part in it."""
    products = around.burn_products(bench.scratch / "control", seconds=_SLOW_SECONDS)
    runs = [
        control.run(
            bench.scratch / f"control-{n}",
            products=products,
            times=_few(bench),
            rate=bench.rate,
            tell=bench.telling(f"run {n + 1} of {bench.runs}"),
        )
        for n in range(bench.runs)
    ]
    note = f"no swap: {products} products in a process of its own, SCHED_IDLE; compare burning"
    return _around(bench, "control", control.rows(runs), runs, note)


def converging(bench: Bench) -> Section:
    """Entry to every worker."""
    home = bench.scratch / "converging"
    found, record = convergence.run(
        home, swaps=bench.windows, rate=bench.rate, tell=bench.telling("swaps")
    )
    tried = sorted(found.tried)
    notes = [
        (
            f"{bench.windows} swaps of each kind under {bench.rate:g} requests/s on 2 workers; "
            "until the last worker's first answer came; goals are for the slowest"
        ),
        (
            "subtracted for new versions: their trial on the node, the lifetime of its process in "
            f"/proc, {tried[0]:.2f} to {tried[-1]:.2f} s; nothing for flips, nothing for loads"
        ),
    ]
    raw = [bench.kept("converging", record)]
    return Section("Swap: entry to every worker", bench.command, found.rows(), notes, raw)


def crowd(bench: Bench) -> Section:
    """Many models on one node."""
    alone: list[Crowd] = []
    crowds: list[Crowd] = []
    for n in range(bench.runs):
        for models, into in ((1, alone), (bench.models, crowds)):
            home = bench.scratch / f"crowd-{models}-{n}"
            tell = bench.telling(f"{models} models, run {n + 1} of {bench.runs}")
            swaps = bench.windows if models > 1 else 1
            into.append(many.run(home, models=models, swaps=swaps, rate=bench.rate, tell=tell))
    polls = [f"{crowd.poll * 1000:.2f}" for crowd in (*alone, *crowds)]
    notes = [
        (
            "the node store was filled and the entries synced before the start: no trials of the "
            "other models, and none of their entries pending"
        ),
        (
            "watcher's CPU: utime + stime over 20 s without load or swap, polls 0.05 s apart; "
            f"ms a poll with 1 model, then with {bench.models:,}: {', '.join(polls)}"
        ),
        _WINDOWS,
        *(one.run.note() for one in crowds),
    ]
    raw = [
        bench.kept(f"crowd-{one.models}-{n}", one.run.record)
        for n, pair in enumerate(zip(alone, crowds, strict=True))
        for one in pair
    ]
    title = "Swap: one of many models"
    return Section(title, bench.command, many.rows(alone, crowds), notes, raw)


def clicking(bench: Bench) -> Section:
    """A click in the MLflow UI."""
    beyond, whole, record = click.run(
        bench.scratch / "clicking",
        clicks=bench.runs,
        rate=bench.rate / 4,
        tell=bench.telling("clicks"),
    )
    notes = [
        (
            "a real MLflow server; the click is the REST call that the UI's dialog sends, "
            "archiving left unchecked; registrar and watcher poll every second"
        ),
        (
            "subtracted: the two trials of the version, the judge's and the node's (lifetimes of "
            "their processes in /proc); downloads, gates, report and loads all count"
        ),
    ]
    raw = [bench.kept("clicking", record)]
    title = "Swap: a click in the MLflow UI"
    return Section(title, bench.command, click.rows(beyond, whole), notes, raw)


def many_swaps(bench: Bench) -> Section:
    """Failures, wrong answers and growth over many swaps."""
    outcome, record = steady.run(
        bench.scratch / "steady",
        requests=bench.requests,
        swaps=bench.swaps,
        rate=bench.rate,
        tell=bench.telling("swaps"),
    )
    raw = bench.kept(f"steady-{bench.requests}", record)
    return steady.section(outcome, raw, made_by=bench.command, rate=bench.rate)


MEASUREMENTS: Mapping[str, Callable[[Bench], Section]] = {
    "steady": many_swaps,
    "converging": converging,
    "plain": plain,
    "sleeping": sleeping,
    "burning": partial(burning, full=False),
    "burning-full": partial(burning, full=True),
    "control": controlled,
    "crowd": crowd,
    "clicking": clicking,
}


def _around(
    bench: Bench, name: str, rows: Sequence[Row], runs: Sequence[Run], *notes: str
) -> Section:
    raw = [bench.kept(f"{name}-{n}", run.record) for n, run in enumerate(runs)]
    said = [*notes, _WINDOWS, *(f"run {n}: {run.note()}" for n, run in enumerate(runs))]
    wrong = [f"wrong: {one}" for run in runs for one in run.complaints[:3]]
    return Section(f"Swap: {name}", bench.command, rows, [*said, *wrong], raw)


def _few(bench: Bench) -> int:
    """Swaps a run where each takes long."""
    return max(1, bench.windows * 2 // 5)
