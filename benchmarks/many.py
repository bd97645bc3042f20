"""A node with many models: what an idle poll costs its watcher, and the swap of one of them.

The versions of all models are put into the node store before it starts, and their entries are said
to be in MLflow, as a registrar would have left both: what is measured begins when all is served. A
poll is measured on a server that polls often, the swap on one with the usual settings.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import around
from benchmarks.around import Run
from benchmarks.driver import Driver, append
from benchmarks.processes import cpu_seconds, stolen_seconds, watcher_pid
from benchmarks.results import Row
from benchmarks.trials import Trials
from benchmarks.versions import Versions
from registry.ledger import Snapshot
from registry.model_version import Stage
from serving.node.store import NodeStore

_POLL_SECONDS = 0.05
_IDLE_SECONDS = 20.0
_SETTLE_SECONDS = 5.0
_READY_SECONDS = 600.0


@dataclass(frozen=True)
class Crowd:
    """What was measured on a node of so many models; times in seconds."""

    models: int
    ready: float
    poll: float
    run: Run
    beyond: tuple[float, ...]


def run(
    home: Path, *, models: int, swaps: int, rate: float, tell: Callable[[int, int], None]
) -> Crowd:
    """A node of so many models, of which the first is asked and swapped."""
    driver = Driver(home, Versions(home / "versions"), model="m0")
    _fill(driver, models)
    begun = time.monotonic()
    with driver.serving(ready_seconds=_READY_SECONDS) as server:
        _until_all(driver, models)
        ready = time.monotonic() - begun
        time.sleep(_SETTLE_SECONDS)
        load = driver.load(rate, home / "history.bin")
        stolen = stolen_seconds()
        with Trials(server) as trials, load.running():
            fresh = range(models + 1, models + 1 + swaps)
            moments = around.swap_apart(driver, load, fresh, tell=tell)
    spans = [(one.appended, one.every) for one in moments]
    stolen = stolen_seconds() - stolen
    driver.node.environ["BATON_POLL_SECONDS"] = str(_POLL_SECONDS)
    with driver.serving(ready_seconds=_READY_SECONDS) as server:
        _until_all(driver, models)
        poll_seconds = _idle_poll(server)
    beyond = tuple(end - begin - trials.seconds(begin, end) for begin, end in spans)
    return Crowd(models, ready, poll_seconds, around.recorded(load, moments, stolen), beyond)


def rows(alone: Sequence[Crowd], many: Sequence[Crowd]) -> list[Row]:
    """A node of many models against a node of one, run by run."""
    count = f"{many[0].models:,} models"
    polls = [m.poll / a.poll for a, m in zip(alone, many, strict=True)]
    near = [crowd.run.windows.near_ratio(0.99) for crowd in many]
    beyond = [seconds for crowd in many for seconds in crowd.beyond]
    return [
        Row.of(f"watcher's CPU a poll, {count} ÷ 1", polls, unit="", goal=1.5),
        Row.of(f"p99 within 1 s of a swap ÷ without, 1 of {count}", near, unit="", goal=1.10),
        Row.of(
            f"entry → every worker, beyond trial and load, nudged, 1 of {count}",
            beyond,
            unit="s",
            goal=0.3,
            at_worst=True,
        ),
        Row.of(f"server ready with {count}", [c.ready for c in many], unit="s", goal=None),
    ]


def _fill(driver: Driver, models: int) -> None:
    """A head for each model, and its verified version in the node store."""
    store = NodeStore(driver.node.home / "store")
    for number in range(models):
        route = driver.versions.route(number + 1)
        entry = append(driver.ledger, f"m{number}", route)
        shown = Snapshot({route.version: Stage.PRODUCTION}, route.version)
        driver.ledger.mark_synced(entry, shown)
        with store.incoming(route.digest) as scratch:
            shutil.copytree(route.source, scratch / "files", dirs_exist_ok=True)
            store.keep(scratch, route.manifest)


def _until_all(driver: Driver, models: int) -> None:
    """Wait until the node knows all models, and the last one answers."""
    deadline = time.monotonic() + _READY_SECONDS
    while len(driver.node.call("/models")["models"]) < models:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the node does not serve {models} models")
        time.sleep(0.2)
    driver.node.call(f"/models/m{models - 1}/predict", {"instances": [[1.0]]})


def _idle_poll(server: int) -> float:
    """CPU seconds of one poll: its share of the time, with what the pause between two leaves."""
    time.sleep(_SETTLE_SECONDS)
    watcher = watcher_pid(server)
    before, begun = cpu_seconds(watcher), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    share = (cpu_seconds(watcher) - before) / (time.monotonic() - begun)
    return _POLL_SECONDS * share / (1 - share)
