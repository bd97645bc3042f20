"""`make bench-fleet`: a model a series, and whole tables; writes its sections of `RESULTS.md`.

    python -m benchmarks.fleet                                everything
    python -m benchmarks.fleet --only fleet --series 500
    python -m benchmarks.fleet --only score --rows 4000000

One worker and two take turns on series that differ, so that a ratio is of the same minutes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import generated, results
from benchmarks.batch import forecast, score
from benchmarks.node import Node
from benchmarks.ray_cluster import cluster
from benchmarks.results import Row, Section
from benchmarks.watched import Watched, watch

_PARAMS = ("--param=backtest_folds=2", "--param=history_rows=360")
_SHARES = (
    "on a machine that others use too, the scheduler may share by session: two workers of a "
    "command are one, nodes of a cluster one each; where the processors that were had are not "
    "about as many as the workers, a ratio of times says nothing"
)
_PACKAGES = ("prophet", "mlflow", "joblib", "onnxruntime", "pyarrow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one after the other; a section is written at once."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=list(MEASUREMENTS), metavar="NAME", help="some of them")
    add("--series", type=int, default=500, help="of a fleet, over all rounds (%(default)s)")
    add("--rounds", type=int, default=5, help="in which workers take turns (%(default)s)")
    add("--rows", type=int, default=2_000_000, help="of the table that is scored (%(default)s)")
    add("--models", type=int, default=500, help="of the fleet that forecasts (%(default)s)")
    add("--page", type=Path, default=results.PAGE, help="where the sections go")
    given = parser.parse_args(arguments)
    console = Console()
    made_by = shlex.join(["python", "-m", "benchmarks.fleet", *sys.argv[1:]])
    for name in given.only or MEASUREMENTS:
        with tempfile.TemporaryDirectory(prefix="bench-fleet-") as scratch:
            title, rows, notes = MEASUREMENTS[name](given, Path(scratch))
        section = Section(title, made_by, rows, notes, packages=_PACKAGES)
        results.write(section, page=given.page)
        console.print(results.table(section))
        for note in notes:
            console.print(f"  {note}", markup=False)
    return 0


Measured = tuple[str, list[Row], list[str]]


def _fleet(given: argparse.Namespace, scratch: Path) -> Measured:
    """One process beside two, on this machine."""
    ways = {"one": ("--workers=1",), "two": ("--workers=2",)}
    seen = _rounds(given, scratch, ways, {})
    ratios = [one.seconds / two.seconds for one, two in zip(*seen.values(), strict=True)]
    per = given.series // given.rounds
    rows = [
        Row.of(f"{name}: a series", [w.seconds / per for w in found], unit="s", goal=None)
        for name, found in seen.items()
    ]
    rows.append(Row.of("two workers against one", ratios, unit="", goal=1.8, at_least=True))
    for name, found in seen.items():
        cpu = [w.cpu / per for w in found]
        got = [w.cpu / w.wall for w in found]
        rows.append(Row.of(f"{name}: CPU of all processes, a series", cpu, unit="s", goal=None))
        rows.append(Row.of(f"{name}: processors that it got", got, unit="", goal=None))
    rows.append(_growth(seen["two"]))
    return f"Fleet of {given.series} series", rows, [_said(given), *_where(seen["two"]), _SHARES]


def _ray(given: argparse.Namespace, scratch: Path) -> Measured:
    """Two processes here beside two nodes of a Ray cluster on this machine."""
    with cluster(2) as address:
        ways = {"local": ("--workers=2",), "ray": ("--engine=ray",)}
        seen = _rounds(given, scratch, ways, {"BATON_RAY_ADDRESS": address})
    ratios = [here.seconds / there.seconds for here, there in zip(*seen.values(), strict=True)]
    per = given.series // given.rounds
    rows = [
        Row.of(f"{name}: a series", [w.seconds / per for w in found], unit="s", goal=None)
        for name, found in seen.items()
    ]
    rows.append(Row.of("speed over Ray against local", ratios, unit="", goal=0.85, at_least=True))
    notes = [
        _said(given),
        "two raylets of one processor each on this machine, one file of sqlite",
        _SHARES,
    ]
    return f"Fleet of {given.series} series over Ray", rows, notes


def _rounds(
    given: argparse.Namespace,
    scratch: Path,
    ways: Mapping[str, tuple[str, ...]],
    environ: dict[str, str],
) -> dict[str, list[Watched]]:
    """Each way in each round, in turns, on series of its own; every way has a home of its own."""
    per = given.series // given.rounds
    seen: dict[str, list[Watched]] = {name: [] for name in ways}
    homes = {name: Node(scratch / name, environ=dict(environ)) for name in ways}
    for number in range(given.rounds):
        table = generated.series(scratch / f"{number}.parquet", per, begin=number * per)
        order = [*ways] if number % 2 == 0 else [*ways][::-1]
        for name in order:
            fleet = ["fleet", "--workload=petr4", f"--series-file={table}", *_PARAMS, *ways[name]]
            seen[name].append(watch(homes[name], "training", *fleet))
    return seen


def _growth(seen: Sequence[Watched]) -> Row:
    """How much the command's own process grew from its first tenth to its end."""
    return Row.of(
        "growth of the command's own process", [w.grown_mb for w in seen], unit="MiB", goal=None
    )


def _said(given: argparse.Namespace) -> str:
    return (
        f"{given.rounds} rounds of {given.series // given.rounds} generated series of 400 days "
        f"(seeded), {' '.join(_PARAMS)}; seconds of the command without its own start"
    )


def _where(seen: Sequence[Watched]) -> list[str]:
    """Of the seconds of all workers, what the series themselves say."""
    share = sum(w.wall for w in seen) - sum(w.seconds for w in seen)
    return [f"start of the command and its end: {share / len(seen):.1f} s each"]


MEASUREMENTS: Mapping[str, Callable[[argparse.Namespace, Path], Measured]] = {
    "fleet": _fleet,
    "ray": _ray,
    "score": score,
    "forecast": forecast,
}


if __name__ == "__main__":
    sys.exit(main())
