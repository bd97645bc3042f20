"""One model a series, for thousands of them: `python -m training fleet`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from registry.console import STEP_FAILED, err, exits, out, print_json
from registry.errors import UsageError
from registry.settings import Settings
from training.commands.asked import pairs
from training.commands.working import INTERRUPTED

if TYPE_CHECKING:
    from training.fleet.parent import ParentRun
    from training.fleet.series import SeriesFile
    from training.fleet.summary import Summary
    from training.fleet.task import Outcome

_SHOWN = 5


@click.command("fleet")
@click.option("--workload", help="A name of `list`, or a configuration that ends with .toml.")
@click.option(
    "--series-file",
    type=click.Path(path_type=Path),
    help="A list of names, a table (.parquet, .csv) with a column `series`, or a directory of CSV.",
)
@click.option("--source", help="What a list's names are read from: sample, yahoo.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes of this machine, or the Ray cluster at BATON_RAY_ADDRESS.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Series at a time. Default: as many as processors.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="How often a series that failed is tried again.",
)
@click.option(
    "--param",
    "-p",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the workload, for every series; may be given several times.",
)
@click.option("--experiment", help="MLflow experiment, instead of the workload's.")
@click.option(
    "--model", help="Pattern of the models' names, as forecast-{ticker}. Default: MODEL-SERIES."
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything. Default: 42.")
@click.option("--resume", metavar="RUN_ID", help="Go on with the fleet of this parent run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def fleet_command(  # noqa: PLR0917 - click calls it, by name
    workload: str | None,
    series_file: Path | None,
    source: str | None,
    engine: str,
    workers: int | None,
    retries: int,
    params: tuple[str, ...],
    experiment: str | None,
    model: str | None,
    seed: int | None,
    resume: str | None,
    as_json: bool,
) -> None:
    """Train one model a series: a parent run in MLflow with a child run a series.

    A series that fails stops no other. --resume goes on with a fleet that was interrupted, or tries
    again what failed in it: with the plan it began with, so that only --engine, --workers and
    --retries can be said beside it.

    Exit codes: 2 something typed does not exist, 4 MLflow is out of reach, 5 a series failed.

    \b
    Examples:
      python -m training fleet --workload petr4 --series-file training/data/samples/fleet.txt
      python -m training fleet --workload petr4 --series-file sales.parquet --workers 2
      python -m training fleet --workload petr4 --series-file tickers.txt --source yahoo
      python -m training fleet --resume 4c0b…
    """
    from training import apart  # noqa: PLC0415 - pandas would slow down --help
    from training.configuration import SUFFIX, read  # noqa: PLC0415 - as above
    from training.crews import crew_of  # noqa: PLC0415 - as above
    from training.fleet.fleet import run_fleet  # noqa: PLC0415 - as above
    from training.fleet.parent import ParentRun  # noqa: PLC0415 - as above
    from training.fleet.plan import FleetPlan  # noqa: PLC0415 - as above
    from training.fleet.series import SeriesFile  # noqa: PLC0415 - as above
    from training.fleet.task import train  # noqa: PLC0415 - as above
    from training.tracking import Tracking  # noqa: PLC0415 - as above
    from training.workloads import get  # noqa: PLC0415 - as above

    settings = Settings.read()
    apart.hand_over_engine(engine, sys.argv[1:])
    if resume:
        planned = (workload, series_file, source, experiment, model, seed, *params)
        if any(one is not None for one in planned):
            raise UsageError("--resume: the fleet goes on as it was planned; leave the others out")
        parent = ParentRun.resume(Tracking(settings), resume)
        series = parent.plan.series()
    else:
        if workload is None or series_file is None:
            raise UsageError("fleet: expected --workload and --series-file, or --resume RUN_ID")
        series = SeriesFile.read(series_file, source=source)
        plan = FleetPlan.of(
            workload,
            series,
            settings,
            params=pairs(params),
            model=model,
            experiment=experiment,
            seed=seed,
            configuration=read(Path(workload)) if workload.endswith(SUFFIX) else None,
        )
        about = get(workload, configuration=plan.configuration).about
        apart.hand_over(about, sys.argv[1:])
        apart.require(about)
        parent = ParentRun.begin(Tracking(settings), plan, series=len(series.names))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _progress(parent, series) as on_outcome, redirect_stdout(sys.stderr):
            summary = run_fleet(
                parent,
                series,
                settings,
                crew=crew_of(
                    engine, train, settings, size=workers or None, processors=os.cpu_count() or 1
                ),
                tries=1 + retries,
                on_outcome=on_outcome,
            )
    except KeyboardInterrupt:
        err.print(
            "interrupted; what is trained stays. Go on with: "
            f"python -m training fleet --resume {parent.run.run_id}",
            soft_wrap=True,
        )
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(summary.to_json())
    else:
        _show(summary)
    if summary.failed:
        raise SystemExit(STEP_FAILED)


@contextmanager
def _progress(parent: ParentRun, series: SeriesFile) -> Iterator[Callable[[Outcome], None]]:
    """A bar on a terminal, a line a series elsewhere; both on standard error."""
    total = len(series.names)
    err.print(f"{parent.plan.workload}: {total} series, run {parent.run.run_id}", soft_wrap=True)
    if not err.is_terminal:
        count = iter(range(1, total + 1))
        yield lambda one: err.print(f"{next(count)}/{total} {_line(one)}", soft_wrap=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task(parent.plan.workload, total=total)
        yield lambda one: bar.update(task, advance=1, description=one.series)


def _line(one: Outcome) -> str:
    if one.is_trained:
        return f"{one.series}: {one.model} v{one.version}, {one.seconds:.1f} s"
    return f"{one.series}: failed: {one.reason}"


def _show(summary: Summary) -> None:
    """The best, the worst, and every one that failed."""
    ranked = summary.ranked
    shown = [("best", one) for one in ranked[:_SHOWN]]
    shown += [("worst", one) for one in ranked[max(_SHOWN, len(ranked) - _SHOWN) :]]
    if shown:
        table = Table("", "series", "model", "version", summary.metric, "÷ best naive")
        for how, one in shown:
            numbers = ("" if n is None else f"{n:.4g}" for n in (one.metric, one.ratio))
            table.add_row(how, one.series, one.model, str(one.version), *numbers)
        out.print(table)
    if summary.failed:
        table = Table("failed", "tries", "reason")
        for one in summary.failed:
            table.add_row(one.series, str(one.tries), one.reason)
        out.print(table)
    kept = f" ({summary.kept} of them before)" if summary.kept else ""
    out.print(
        f"{len(ranked)} of {len(summary.outcomes)} series trained{kept}, {len(summary.failed)} "
        f"failed, {summary.seconds:.1f} s; run {summary.run_id}, all of it in summary.csv there",
        soft_wrap=True,
    )
