"""What was trained: `python -m training runs`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from registry.console import exits, print_json
from registry.settings import Settings

if TYPE_CHECKING:
    from training.runs import FoundRun

_MOST_METRICS = 2
_WIDEST = 500
# MLflow's own limit of one answer.
_MOST_RUNS = 50_000


@click.command("runs")
@click.argument("experiment", required=False)
@click.option("--filter", "text", default="", help="MLflow's filter; its times may be dates.")
@click.option("--since", metavar="DATE", help="Begun on this day or later, as 2026-11-01.")
@click.option("--until", metavar="DATE", help="Begun on this day or before.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, _MOST_RUNS),
    help="Only so many, the newest.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def runs_command(
    *,
    experiment: str | None,
    text: str,
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the runs of EXPERIMENT, or of all experiments, newest first.

    \b
      python -m training runs petr4_forecast --since 2026-11-01
      python -m training runs --filter "tags.ticker = 'USD/BRL' and metrics.mae < 0.1"
      python -m training runs --filter "params.seed = '42' and start_time > '2026-11-01T14:30'"
      python -m training runs --filter "tags.baton.failed_step = 'fit'"

    Exit codes: 2 no such experiment, or no such filter; 4 MLflow is out of reach.
    """
    from training import runs  # noqa: PLC0415 - pandas would slow down --help
    from training.tracking import Tracking  # noqa: PLC0415 - as above

    found = runs.search(
        Tracking(Settings.read()),
        experiment=experiment,
        text=text,
        since=runs.moment(since) if since else None,
        until=runs.day_after(until) if until else None,
        limit=limit,
    )
    if as_json:
        print_json({"runs": [dataclasses.asdict(run) for run in found]})
        return
    titles = ("started", "run", "name", "workload", "series", "status", "metrics", "version")
    table = Table(*titles, box=SIMPLE_HEAD, pad_edge=False)
    for run in found:
        table.add_row(*_row(run))
    # A run's id is there to be copied: a line longer than the terminal is better than half of one.
    Console(width=_WIDEST, highlight=False, markup=False).print(table)


def _row(run: FoundRun) -> tuple[str, ...]:
    """One line of the table: a run of Baton's shows the metric that decides, others their first."""
    names = [run.primary] if run.primary in run.metrics else sorted(run.metrics)[:_MOST_METRICS]
    return (
        f"{run.started:%Y-%m-%d %H:%M}",
        run.run_id,
        run.name,
        run.workload,
        run.series,
        run.status,
        ", ".join(f"{name} {run.metrics[name]:.4g}" for name in names),
        "" if run.version is None else f"{run.model} v{run.version}".strip(),
    )
