"""What every command that trains does around it: a bar, an environment, an end, a result."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from registry.console import err, notes, out

if TYPE_CHECKING:
    from training.job import Plan
    from training.trained import Trained

# What shells say of a command that was ended by Ctrl-C.
INTERRUPTED = 130


def hand_over(plan: Plan) -> None:
    """Become this command in the environment that has the workload's libraries, if need be."""
    from training import apart  # noqa: PLC0415 - pandas would slow down --help
    from training.workloads import get  # noqa: PLC0415 - as above

    apart.hand_over(get(plan.workload, configuration=plan.configuration).about, sys.argv[1:])


@contextmanager
def interruptible() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, end with its exit code, and keep standard output for the result."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with redirect_stdout(sys.stderr):  # libraries print
            yield
    except KeyboardInterrupt as interruption:
        err.print("interrupted")
        for note in notes(interruption):
            err.print(note, soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def steps_shown(name: str) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, a line a step elsewhere; both on standard error."""
    from training.steps import STEPS  # noqa: PLC0415 - pandas would slow down --help

    if not err.is_terminal:
        yield lambda step: err.print(f"{name}: {step}", markup=False)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=len(STEPS))
        at = {step: number for number, step in enumerate(STEPS)}
        yield lambda step: bar.update(task, description=f"{name}: {step}", completed=at[step])


def show(trained: Trained) -> None:
    """The version and its numbers, for people."""
    baselines = trained.baselines
    table = Table("metric", "this version", *baselines)
    if trained.current is not None:
        table.add_column(f"v{trained.current['version']} in Production")
    for name, value in trained.metrics.items():
        others = [values.get(name) for values in baselines.values()]
        if trained.current is not None:
            others.append(trained.current["metrics"].get(name))
        table.add_row(name, f"{value:.4g}", *("" if o is None else f"{o:.4g}" for o in others))
    what = trained.model if trained.version is None else f"{trained.model} v{trained.version}"
    out.print(
        f"{what} from {trained.series} ({trained.source}), "
        f"{trained.seconds:.1f} s, run {trained.run_id}",
        markup=False,
        soft_wrap=True,
    )
    out.print(table)
    out.print(trained.verdict, markup=False, soft_wrap=True)
