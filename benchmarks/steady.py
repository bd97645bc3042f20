"""Many swaps under a steady load: what failed, what was answered wrongly, what the server kept.

Of every four swaps three are to a version never seen before (fetch, trial, load), one goes back to
the version before (a flip).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.driver import MODEL, Driver
from benchmarks.load import Load
from benchmarks.processes import Footprint, footprint
from benchmarks.results import Row, Section
from benchmarks.versions import Versions, predict
from benchmarks.windows import late_ms
from registry.ledger import EntryKind

_BACK_EVERY = 4
_EARLY_SWAPS = 10
_SHOWN = 3


@dataclass(frozen=True)
class Outcome:
    """What one run was, and what was wrong with it."""

    requests: int
    failed: int
    wrong: int
    swaps: int
    versions: int
    complaints: tuple[str, ...]
    late_ms: float
    early: Footprint
    at_end: Footprint


def run(
    home: Path,
    *,
    requests: int,
    swaps: int,
    rate: float,
    tell: Callable[[int, int], None] = lambda _swaps, _requests: None,
) -> tuple[Outcome, Path]:
    """At least so many requests over so many swaps; returns the recording too."""
    driver = Driver(home, Versions(home / "versions"))
    driver.to(1)
    load = driver.load(rate, home / "history.bin")
    with driver.serving() as server, load.running():
        load.until_every(1)  # else the first version might be gone before it was asked for
        every = requests / rate / swaps
        kept: list[Footprint] = []
        for number, (version, kind) in enumerate(_plan(swaps), start=1):
            turn = time.monotonic() + every
            seq = driver.to(version, kind=kind).seq
            load.until_every(seq)
            if number in (min(_EARLY_SWAPS, swaps), swaps):
                kept.append(_footprint(server, driver))
            tell(number, load.count)
            time.sleep(max(0.0, turn - time.monotonic()))
        load.until(lambda: load.count >= requests, f"{requests} requests", seconds=3600)
    return _judged(load, swaps, kept), load.record


def section(outcome: Outcome, raw: tuple[Path, str], *, made_by: str, rate: float) -> Section:
    """The rows of one run."""
    size = f"{outcome.requests:,} requests, {outcome.swaps:,} swaps"
    early, end = outcome.early, outcome.at_end
    rows = [
        _once(f"failed of {size}", outcome.failed, goal=0),
        _once("answers from a wrong or older version", outcome.wrong, goal=0),
        _once(
            f"resident memory of the workers after {outcome.swaps:,} swaps ÷ after "
            f"{min(_EARLY_SWAPS, outcome.swaps)}",
            end.resident_mb / early.resident_mb,
            goal=1.05,
        ),
        _once("file descriptors, likewise, more", end.descriptors - early.descriptors, goal=0),
        _once("threads, likewise, more", end.threads - early.threads, goal=0),
        _once("files in its TMPDIR, node folder and store, more", _more_files(outcome), goal=0),
    ]
    notes = [
        (
            f"{rate:g} requests/s; swaps to {outcome.versions:,} versions, every "
            f"{_BACK_EVERY}th back to the version before; each answer held against the offline one"
        ),
        f"the client itself sent late: p99 {outcome.late_ms:.2f} ms",
        (
            f"resident {early.resident_mb:.1f} → {end.resident_mb:.1f} MB (gunicorn and workers); "
            f"descriptors {early.descriptors} → {end.descriptors}, threads {early.threads} → "
            f"{end.threads}, files {early.files} → {end.files} (whole server)"
        ),
        *(f"wrong: {complaint}" for complaint in outcome.complaints[:_SHOWN]),
    ]
    return Section(f"Swap: {outcome.swaps:,} swaps under load", made_by, rows, notes, [raw])


def _plan(swaps: int) -> Iterator[tuple[int, EntryKind]]:
    """Versions to swap to, beginning behind version 1."""
    fresh = itertools.count(2)
    now = before = 1
    for number in range(1, swaps + 1):
        kind = EntryKind.ROLLBACK if number % _BACK_EVERY == 0 else EntryKind.PROMOTE
        before, now = now, before if kind is EntryKind.ROLLBACK else next(fresh)
        yield now, kind


def _footprint(server: int, driver: Driver) -> Footprint:
    home = driver.node.home
    return footprint(server, folders=[home / "tmp", home / "node", home / "store"])


def _judged(load: Load, swaps: int, kept: list[Footprint]) -> Outcome:
    rows = load.rows()
    wrong = violations(history.observations(rows), ids=load.ids, predict=predict)
    seen = set(rows["seq"][rows["status"] == 200].tolist())
    skipped = sorted(set(range(1, swaps + 2)) - seen)
    wrong += [f"seq {seq} of {MODEL} never answered" for seq in skipped]
    failed = sum("last status" in complaint for complaint in wrong)  # (a): not exactly one 2xx
    return Outcome(
        requests=load.count,
        failed=failed,
        wrong=len(wrong) - failed,
        swaps=swaps,
        versions=len(set(rows["version"].tolist())),
        complaints=tuple(wrong),
        late_ms=late_ms(rows, 0.99),
        early=kept[0],
        at_end=kept[-1],
    )


def _more_files(outcome: Outcome) -> int:
    return outcome.at_end.files - outcome.early.files


def _once(name: str, value: float, *, goal: float) -> Row:
    return Row.of(name, [value], unit="", goal=goal, at_worst=True)
