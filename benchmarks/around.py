"""How slow the slowest requests are near a swap, against equal windows without one.

Each run is a server of its own; its swaps are far enough apart for quiet windows between them (see
`windows.py`). Ratios are within one run, over the requests of all its swaps together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import history, processors
from benchmarks.checker import violations
from benchmarks.driver import Driver
from benchmarks.history import Rows
from benchmarks.load import Load
from benchmarks.processes import stolen_seconds
from benchmarks.results import Row
from benchmarks.versions import Versions, predict
from benchmarks.windows import APART_SECONDS, Moments, Windows, late_ms, latency_ms
from registry.bootstrap import trial
from registry.settings import Settings

_WARM_SECONDS = 3.0
_CAPACITY_SECONDS = 4.0
_SLOW_SECONDS = 300.0  # full workers leave a load little
_UNLIMITED = 1e9
_FULL_SHARE = 0.7
_FULL_SETTLE_SECONDS = 20.0  # full workers have little left to catch up with


@dataclass(frozen=True)
class Run:
    """One recorded run: its windows, and what was wrong with its answers."""

    windows: Windows
    requests: int
    complaints: tuple[str, ...]
    rate: float
    record: Path
    stolen_seconds: float

    def note(self) -> str:
        """What one has to know to trust its ratio."""
        near, quiet = self.windows.near, self.windows.quiet
        return (
            f"{self.requests:,} requests at {self.rate:.0f}/s, {len(self.complaints)} failed or "
            f"wrong; p50/p99/p99.9 near {_three(near)} ms, quiet {_three(quiet)} ms, while loading "
            f"{_three(self.windows.loading)} ms; client late p99 {late_ms(near, 0.99):.2f} near, "
            f"{late_ms(quiet, 0.99):.2f} ms quiet; CPU kept back by the machine's host: "
            f"{self.stolen_seconds:.2f} s"
        )


def run(
    home: Path,
    versions: Versions,
    *,
    swaps: int,
    rate: float | None,
    tell: Callable[[int, int], None],
) -> Run:
    """One server, so many swaps.

    `rate` None is 0.7 of what one worker on a processor of its own can do, with the load on
    another: what the load takes there, no load of a version could have had.
    """
    driver = Driver(home, versions, environ={} if rate else {"BATON_WORKERS": "1"})
    driver.to(1)
    with ExitStack() as stack:
        if rate:
            stack.enter_context(driver.serving())
        else:
            of_server, of_load = processors.apart()
            with processors.on(of_server):
                stack.enter_context(driver.serving())
            stack.enter_context(processors.on(of_load))
        settle = 0.0 if rate else _FULL_SETTLE_SECONDS
        rate = rate or _FULL_SHARE * capacity(driver, home)
        load = driver.load(rate, home / "history.bin")
        stolen = stolen_seconds()
        with load.running():
            time.sleep(_WARM_SECONDS)
            moments = swap_apart(driver, load, range(2, swaps + 2), tell=tell, settle=settle)
    return recorded(load, moments, stolen_seconds() - stolen)


def swap_apart(
    driver: Driver,
    load: Load,
    numbers: Sequence[int],
    *,
    tell: Callable[[int, int], None],
    settle: float = 0.0,
) -> list[Moments]:
    """Swap to each version in turn, with a quiet window before each, `settle` s later at least."""
    moments = []
    for done, number in enumerate(numbers, start=1):
        driver.versions.route(number)  # made now, not in the quiet window
        time.sleep(settle + APART_SECONDS)
        swap = driver.to(number)
        every = load.until_every(swap.seq, seconds=_SLOW_SECONDS)
        moments.append(Moments(swap.appended, load.first(swap.seq) or every, every))
        tell(done, len(numbers))
    time.sleep(APART_SECONDS)
    return moments


def recorded(load: Load, moments: Sequence[Moments], stolen: float) -> Run:
    """The run of a load that ended."""
    rows = load.rows()
    wrong = violations(history.observations(rows), ids=load.ids, predict=predict)
    windows = Windows.of(rows, moments)
    return Run(windows, load.count, tuple(wrong), load.rate, load.record, stolen)


def capacity(driver: Driver, home: Path) -> float:
    """Requests a second when all connections are always busy: client and server on one machine."""
    load = driver.load(_UNLIMITED, home / "capacity.bin")
    with load.running():
        time.sleep(_CAPACITY_SECONDS)
    rows = load.rows()
    return len(rows) / float(rows["ended"][-1] - rows["begun"][0])


def burn_products(folder: Path, *, seconds: float) -> int:
    """How many products take so long to fold here now: a small version's trial tells."""
    few = 100
    made = Versions(folder, burn_products=few).route(1)
    report = trial(Settings.read({})).run(Path(made.source), manifest=made.manifest)
    return max(1, round(few * seconds * 1000 / report.load_ms))


def rows(
    runs: Sequence[Run], what: str, *, p99: float | None, p999: float | None, loading: float | None
) -> list[Row]:
    """The ratios of all runs, with their goals."""
    windows = [one.windows for one in runs]
    near = f"within 1 s of a swap ÷ without, {what}"
    beside = f"from entry to 1 s after the swap ÷ without, {what}"
    return [
        _ratios(f"p99 {near}", [w.near_ratio(0.99) for w in windows], p99),
        _ratios(f"p99.9 {near}", [w.near_ratio(0.999) for w in windows], p999),
        _ratios(f"p99 {beside}", [w.loading_ratio(0.99) for w in windows], loading),
        _ratios(
            "noise: p99 of every other quiet window ÷ of the rest",
            [w.noise_ratio(0.99) for w in windows],
            None,
        ),
    ]


def _ratios(name: str, values: Sequence[float], goal: float | None) -> Row:
    return Row.of(name, values, unit="", goal=goal)


def _three(window: Rows) -> str:
    return "/".join(f"{latency_ms(window, share):.1f}" for share in (0.5, 0.99, 0.999))
