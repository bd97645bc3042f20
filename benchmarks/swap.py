"""`make bench-swap`: what nobody is to notice, measured; writes its sections of `RESULTS.md`.

    python -m benchmarks.swap                                 the whole table, over an hour
    python -m benchmarks.swap --only plain --runs 3
    python -m benchmarks.swap --only steady --requests 1000000 --swaps 1000 --rate 500

Exit 1 if a request failed or was answered wrongly, or a goal was missed with `--strict`.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import results
from benchmarks.measurements import MEASUREMENTS, Bench
from benchmarks.node import ROOT
from benchmarks.results import Section

RAW = ROOT / "var" / "bench-swap"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one after the other, each in a home of its own; a section is written at once."""
    given = _parser().parse_args(arguments)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    missed: list[str] = []
    failed = False
    for name in given.only or MEASUREMENTS:
        with (
            tempfile.TemporaryDirectory(prefix="bench-swap-") as scratch,
            Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress,
        ):
            if not console.is_terminal:
                console.print(f"… measuring {name}")
            bar = progress.add_task(name, total=None)

            def tell(what: str, done: int, total: int, name: str = name) -> None:
                progress.update(bar, description=f"{name}: {what}", completed=done, total=total)  # noqa: B023

            try:
                section = MEASUREMENTS[name](_bench(given, Path(scratch), tell))
            except BaseException:
                _save(Path(scratch), given.raw / f"{name}-failed")
                console.print(f"{name} broke off: logs and histories in {given.raw}/{name}-failed")
                raise
        results.write(section, page=given.page)
        _show(console, section)
        missed += [row.name for row in section.rows if "missed" in row.verdict]
        failed |= _is_missed(section, strict=given.strict)
    console.print(f"missed: {'; '.join(missed)}" if missed else "every goal met", soft_wrap=True)
    return 1 if failed else 0


def _bench(given: argparse.Namespace, scratch: Path, tell: object) -> Bench:
    words = ["python", "-m", "benchmarks.swap", *sys.argv[1:]]
    return Bench(
        command=shlex.join(words),
        scratch=scratch,
        raw=given.raw.resolve(),
        requests=given.requests,
        swaps=given.swaps,
        runs=given.runs,
        windows=given.windows,
        models=given.models,
        rate=given.rate,
        tell=tell,  # type: ignore[arg-type]
    )


def _save(scratch: Path, to: Path) -> None:
    """Keep the logs and recordings of a measurement that broke off."""
    for path in (*scratch.rglob("*.log"), *scratch.rglob("history.bin")):
        target = to / path.relative_to(scratch)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _show(console: Console, section: Section) -> None:
    console.print(results.table(section))
    for note in section.notes:
        console.print(f"  {note}", markup=False, highlight=False)
    for path, digest in section.raw:
        console.print(f"  raw: {path} sha256 {digest}", markup=False, soft_wrap=True)


def _is_missed(section: Section, *, strict: bool) -> bool:
    """Whether something failed, or with `strict` any goal was missed."""
    goals = [row for row in section.rows if row.goal is not None and (strict or row.goal == 0)]
    return any("missed" in row.verdict for row in goals)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.swap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=list(MEASUREMENTS), metavar="NAME", help="some of them")
    add("--requests", type=int, default=30_000, help="steady: at least so many (%(default)s)")
    add("--swaps", type=int, default=60, help="steady: so many (%(default)s)")
    add("--runs", type=int, default=5, help="servers, or clicks, a ratio is of (%(default)s)")
    add("--windows", type=int, default=20, help="swaps a run of a small version (%(default)s)")
    add("--models", type=int, default=1_000, help="crowd: so many on one node (%(default)s)")
    add("--rate", type=float, default=400.0, help="requests a second (%(default)s)")
    add("--raw", type=Path, default=RAW, help="where recorded histories stay (%(default)s)")
    add("--page", type=Path, default=results.PAGE, help="where sections go (%(default)s)")
    add("--strict", action="store_true", help="a missed goal is a failure too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
