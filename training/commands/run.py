"""Train from the command line: `python -m training run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from registry.console import err, exits, out, print_json
from registry.settings import Settings
from training.commands.asked import Asked, asks, interruptible

if TYPE_CHECKING:
    from training.pipeline import Trained


@click.command("run")
@asks
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def run_command(asked: Asked, as_json: bool) -> None:
    """Train WORKLOAD (petr4 if none is named): one MLflow run, one registered version.

    WORKLOAD is a name of `list`, or the path of a configuration, which ends with .toml.

    Exit codes: 2 something typed does not exist, 4 MLflow is out of reach, 5 a step failed.
    """
    from training.pipeline import run  # noqa: PLC0415 - pandas would slow down --help

    settings = Settings.read()
    plan = asked.plan(settings)
    said = "the run is marked KILLED and nothing was registered"
    with interruptible(said), _progress(plan.workload) as on_step:
        trained = run(plan, settings, on_step=on_step)
    if as_json:
        print_json(trained.to_json())
    else:
        _show(trained)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
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
        done = iter(range(len(STEPS)))
        yield lambda step: bar.update(task, description=f"{name}: {step}", completed=next(done))


def _show(trained: Trained) -> None:
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
    out.print(
        f"{trained.model} v{trained.version} from {trained.series} ({trained.source}), "
        f"{trained.seconds:.1f} s, run {trained.run_id}",
        markup=False,
        soft_wrap=True,
    )
    out.print(table)
    out.print(trained.verdict, markup=False, soft_wrap=True)
