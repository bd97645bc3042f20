"""How soon every worker answers with an entry, beyond the trial and the load of its version.

Seen by a steady load on all workers: from when the ledger had the entry until the last worker's
first answer with its seq had come. What a trial and the workers' loads take is not Baton's to
shorten: the same version's trial is run right before, under the same load and with the same limits
as the node's, and its time, and its load time once a worker, are subtracted. Where nothing is tried
or loaded (the version before, still resident) nothing is subtracted.
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
from benchmarks.results import Row
from benchmarks.versions import Versions
from registry.bootstrap import trial
from registry.ledger import EntryKind
from registry.settings import Settings

_WARM_SECONDS = 2.0
_POLL_SECONDS = 1.0


@dataclass
class Convergence:
    """Seconds until every worker answered, one a swap, by how the node came to know."""

    polled: list[float] = field(default_factory=list)
    nudged: list[float] = field(default_factory=list)
    rolled_back: list[float] = field(default_factory=list)
    there_and_back: list[float] = field(default_factory=list)
    subtracted: list[float] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """Against their goals, each held against its slowest swap."""
        return [
            _row("entry → every worker, beyond trial and load, by a poll of 1 s", self.polled, 1.5),
            _row("entry → every worker, beyond trial and load, nudged", self.nudged, 0.3),
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
            found.polled.append(_beyond(driver, load, slow, found, nudged=False))
            found.nudged.append(_beyond(driver, load, quick, found, nudged=True))
            found.rolled_back.append(_flip(driver, load, slow, EntryKind.ROLLBACK))
            found.there_and_back.append(_flip(driver, load, quick, EntryKind.PROMOTE))
            tell(done, swaps)
    return found, load.record


def trial_seconds(driver: Driver, version: int) -> tuple[float, float]:
    """What a version's trial takes here and now, and one load within it."""
    source = Path(driver.versions.route(version).source)
    return trial_seconds_of(Settings.read(driver.node.environ), source)


def trial_seconds_of(settings: Settings, files: Path) -> tuple[float, float]:
    """The same of a version's files."""
    begun = time.monotonic()
    report = trial(settings).run(files)
    return time.monotonic() - begun, report.load_ms / 1000


def _beyond(driver: Driver, load: Load, version: int, found: Convergence, *, nudged: bool) -> float:
    """Seconds from the entry of a new version, without its trial and its loads."""
    tried, loaded = trial_seconds(driver, version)
    taken = tried + load.workers * loaded
    found.subtracted.append(taken)
    _anywhere_between_polls()
    swap = driver.to(version, nudged=nudged)
    return load.until_every(swap.seq) - swap.appended - taken


def _flip(driver: Driver, load: Load, version: int, kind: EntryKind) -> float:
    _anywhere_between_polls()
    swap = driver.to(version, kind=kind)
    return load.until_every(swap.seq) - swap.appended


def _anywhere_between_polls() -> None:
    time.sleep(0.5 + random.random() * _POLL_SECONDS)


def _row(name: str, seconds: list[float], goal: float) -> Row:
    return Row.of(name, seconds, unit="s", goal=goal, at_worst=True)
