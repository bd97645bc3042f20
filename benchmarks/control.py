"""What computing costs requests on this machine at best: the burning load without any swap.

A process that has nothing to do with the server computes what a burning version's load does, only
while nobody else wants a processor (it is a trial, run from here). What that does to latencies, no
server that loads beside requests can avoid; compare `burning`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import around
from benchmarks.around import Run
from benchmarks.driver import Driver
from benchmarks.processes import stolen_seconds
from benchmarks.results import Row
from benchmarks.versions import Versions
from benchmarks.windows import APART_SECONDS, Moments
from registry.bootstrap import trial
from registry.settings import Settings

_WARM_SECONDS = 3.0


def run(
    home: Path, *, products: int, times: int, rate: float, tell: Callable[[int, int], None]
) -> Run:
    """One server under load; beside it, so many trials of a burning version that it never sees."""
    burning = Versions(home / "burning", burn_products=products).route(2)
    driver = Driver(home, Versions(home / "versions"))
    driver.to(1)
    with driver.serving():
        load = driver.load(rate, home / "history.bin")
        stolen = stolen_seconds()
        moments = []
        with load.running():
            time.sleep(_WARM_SECONDS)
            for done in range(times):
                time.sleep(APART_SECONDS)
                begun = time.monotonic()
                trial(Settings.read({})).run(Path(burning.source), manifest=burning.manifest)
                ended = time.monotonic()
                moments.append(Moments(begun, ended, ended))
                tell(done + 1, times)
            time.sleep(APART_SECONDS)
    return around.recorded(load, moments, stolen_seconds() - stolen)


def rows(runs: list[Run]) -> list[Row]:
    """The ratios of all runs; no goals, since nothing of ours is measured."""
    what = "while an unrelated idle process computes, and 1 s after, ÷ without"
    windows = [one.windows for one in runs]
    return [
        Row.of(f"p99 {what}", [w.loading_ratio(0.99) for w in windows], unit="", goal=None),
        Row.of(f"p99.9 {what}", [w.loading_ratio(0.999) for w in windows], unit="", goal=None),
    ]
