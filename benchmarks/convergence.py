"""How soon every worker answers with an entry, beyond the trial of its version.

Seen by a steady load on all workers: from when the ledger had the entry until the last worker's
first answer with its seq had come. What the version's trial took on the node meanwhile is
subtracted (see `trials.py`); its loads in the workers are not: a small version's take milliseconds.
Where nothing is tried (the version before, still resident) nothing is subtracted.
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
from benchmarks.trials import Trials
from benchmarks.versions import Versions
from registry.ledger import EntryKind

_WARM_SECONDS = 2.0
_POLL_SECONDS = 1.0


@dataclass
class Convergence:
    """Seconds until every worker answered, one a swap, by how the node came to know.

    `tried` is what was subtracted from those of new versions.
    """

    polled: list[float] = field(default_factory=list)
    nudged: list[float] = field(default_factory=list)
    rolled_back: list[float] = field(default_factory=list)
    there_and_back: list[float] = field(default_factory=list)
    tried: list[float] = field(default_factory=list)

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
    with driver.serving() as server, Trials(server) as trials, load.running():
        time.sleep(_WARM_SECONDS)
        for done in range(1, swaps + 1):
            slow, quick = next(fresh), next(fresh)
            polled = _swap(driver, load, slow, nudged=False)
            nudged = _swap(driver, load, quick, nudged=True)
            back = _swap(driver, load, slow, kind=EntryKind.ROLLBACK)
            again = _swap(driver, load, quick)
            tried = [trials.seconds(*span) for span in (polled, nudged)]
            found.tried += tried
            found.polled.append(_seconds(polled) - tried[0])
            found.nudged.append(_seconds(nudged) - tried[1])
            found.rolled_back.append(_seconds(back))
            found.there_and_back.append(_seconds(again))
            tell(done, swaps)
    return found, load.record


def _swap(
    driver: Driver,
    load: Load,
    version: int,
    *,
    kind: EntryKind = EntryKind.PROMOTE,
    nudged: bool = True,
) -> tuple[float, float]:
    """From when the ledger had an entry until every worker answered with it."""
    driver.versions.route(version)
    _anywhere_between_polls()
    swap = driver.to(version, kind=kind, nudged=nudged)
    return swap.appended, load.until_every(swap.seq)


def _seconds(span: tuple[float, float]) -> float:
    return span[1] - span[0]


def _anywhere_between_polls() -> None:
    time.sleep(0.5 + random.random() * _POLL_SECONDS)


def _row(name: str, seconds: list[float], goal: float) -> Row:
    return Row.of(name, seconds, unit="s", goal=goal, at_worst=True)
