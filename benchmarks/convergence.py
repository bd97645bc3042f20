"""How soon every worker answers with an entry, beyond the trial and the load of its version.

Seen by a steady load on all workers: from when the ledger had the entry until the last worker's
first answer with its seq had come. What a trial and the workers' loads take is not Baton's to
shorten: each version's trial is run right before its swap, under the same load and with the same
limits as the node's. The shortest of these trials, with its load time once more a worker, is
subtracted from each swap: no swap is flattered by a trial that was slow by chance. Where nothing is
tried or loaded (the version before, still resident) nothing is subtracted.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.load import Load
from benchmarks.node import Node
from benchmarks.results import Row
from benchmarks.versions import Versions
from registry.bootstrap import trial
from registry.ledger import EntryKind
from registry.settings import Settings

_WARM_SECONDS = 2.0
_POLL_SECONDS = 1.0


@dataclass
class Convergence:
    """Seconds until every worker answered, one a swap, by how the node came to know.

    `subtracted` is what a trial and the loads took, one a new version.
    """

    polled: list[float] = field(default_factory=list)
    nudged: list[float] = field(default_factory=list)
    rolled_back: list[float] = field(default_factory=list)
    there_and_back: list[float] = field(default_factory=list)
    subtracted: list[float] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """Against their goals, each held against its slowest swap."""
        taken = min(self.subtracted)
        polled, nudged = ([s - taken for s in times] for times in (self.polled, self.nudged))
        return [
            _row("entry → every worker, beyond trial and load, by a poll of 1 s", polled, 1.5),
            _row("entry → every worker, beyond trial and load, nudged", nudged, 0.3),
            _row("rollback → every worker, nudged", self.rolled_back, 0.3),
            _row("A → B → A, the second, nudged", self.there_and_back, 0.3),
        ]


def run(
    home: Path, *, swaps: int, rate: float, tell: Callable[[int, int], None]
) -> tuple[Convergence, Path]:
    """So many swaps of each kind; returns the recording too."""
    driver = Driver(
        home, Versions(home / "versions"), environ={"BATON_POLL_SECONDS": str(_POLL_SECONDS)}
    )
    driver.to(1)
    found = Convergence()
    load = driver.load(rate, home / "history.bin")
    fresh = itertools.count(2)
    with driver.serving(), load.running():
        time.sleep(_WARM_SECONDS)
        for done in range(1, swaps + 1):
            slow, quick = next(fresh), next(fresh)
            found.polled.append(_swap(driver, load, slow, found, nudged=False))
            found.nudged.append(_swap(driver, load, quick, found, nudged=True))
            found.rolled_back.append(_flip(driver, load, slow, EntryKind.ROLLBACK))
            found.there_and_back.append(_flip(driver, load, quick, EntryKind.PROMOTE))
            tell(done, swaps)
    return found, load.record


def trial_and_loads(node: Node, files: Path, *, workers: int) -> float:
    """Seconds that a version's trial takes here and now, and its load in so many workers."""
    begun = time.monotonic()
    report = trial(Settings.read(node.environ)).run(files)
    return time.monotonic() - begun + workers * report.load_ms / 1000


def _swap(driver: Driver, load: Load, version: int, found: Convergence, *, nudged: bool) -> float:
    """Seconds from the entry of a new version."""
    files = Path(driver.versions.route(version).source)
    found.subtracted.append(trial_and_loads(driver.node, files, workers=load.workers))
    _anywhere_between_polls()
    swap = driver.to(version, nudged=nudged)
    return load.until_every(swap.seq) - swap.appended


def _flip(driver: Driver, load: Load, version: int, kind: EntryKind) -> float:
    _anywhere_between_polls()
    swap = driver.to(version, kind=kind)
    return load.until_every(swap.seq) - swap.appended


def _anywhere_between_polls() -> None:
    time.sleep(0.5 + random.random() * _POLL_SECONDS)


def _row(name: str, seconds: list[float], goal: float) -> Row:
    return Row.of(name, seconds, unit="s", goal=goal, at_worst=True)
