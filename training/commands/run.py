"""Train from the command line: `python -m training run`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from registry.console import err, exits, out, print_json
from registry.errors import UsageError
from registry.settings import Settings

if TYPE_CHECKING:
    from training.pipeline import Trained

DEFAULT_WORKLOAD = "petr4"
# What shells say of a command that was ended by Ctrl-C.
INTERRUPTED = 130


@click.command("run")
@click.argument("workload", default=DEFAULT_WORKLOAD)
@click.option(
    "--param",
    "-p",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the workload; may be given several times.",
)
@click.option("--source", help="sample, yahoo, csv, folder or fundus. Default: the workload's own.")
@click.option("--series", help="Which series of the source, as usd_brl or PETR4.SA.")
@click.option(
    "--file", type=click.Path(path_type=Path), help="A CSV file, or a directory of pictures."
)
@click.option("--experiment", help="MLflow experiment, instead of the workload's.")
@click.option("--model", help="Registered model, instead of the workload's.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything. Default: 42.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def run_command(  # noqa: PLR0917 - click calls it, by name
    workload: str,
    params: tuple[str, ...],
    source: str | None,
    series: str | None,
    file: Path | None,
    experiment: str | None,
    model: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Train WORKLOAD (petr4 if none is named): one MLflow run, one registered version.

    WORKLOAD is a name of `list`, or the path of a configuration, which ends with .toml.

    Exit codes: 2 something typed does not exist, 4 MLflow is out of reach, 5 a step failed.
    """
    from training import apart  # noqa: PLC0415 - pandas would slow down --help
    from training.configuration import SUFFIX, read  # noqa: PLC0415 - as above
    from training.job import Plan  # noqa: PLC0415 - as above
    from training.pipeline import run  # noqa: PLC0415 - as above
    from training.workloads import get  # noqa: PLC0415 - as above

    settings = Settings.read()
    plan = Plan.of(
        workload,
        settings,
        params=pairs(params),
        source=source,
        series=series,
        file=file,
        experiment=experiment,
        model=model,
        seed=seed,
        configuration=read(Path(workload)) if workload.endswith(SUFFIX) else None,
    )
    apart.hand_over(get(plan.workload, configuration=plan.configuration).about, sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Libraries print; standard output is for the result alone.
        with _progress(plan.workload) as on_step, redirect_stdout(sys.stderr):
            trained = run(plan, settings, on_step=on_step)
    except KeyboardInterrupt:
        err.print("interrupted; the run is marked KILLED and nothing was registered")
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(trained.to_json())
    else:
        _show(trained)


def pairs(params: tuple[str, ...]) -> Mapping[str, str]:
    """`NAME=VALUE` texts as a mapping; raises UsageError for anything else."""
    pairs: dict[str, str] = {}
    for text in params:
        name, found, value = text.partition("=")
        if not found or not name:
            raise UsageError(f"--param {text!r}: expected NAME=VALUE, as holdout_days=60")
        pairs[name.strip()] = value.strip()
    return pairs


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
