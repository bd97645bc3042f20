"""Answer whole tables with the Production version: `python -m training score`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from registry.console import STEP_FAILED, err, exits, out, print_json
from registry.settings import Settings
from training.commands.working import INTERRUPTED

if TYPE_CHECKING:
    from training.scoring.score import Scored
    from training.scoring.task import Part

_PARTITION_ROWS = 1_000_000


@click.command("score")
@click.argument("model")
@click.option("--input", "source", required=True, help="A Parquet file, a directory, or s3://….")
@click.option("--output", "target", required=True, help="A directory, or s3://….")
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
    help="Partitions at a time. Default: as many as processors.",
)
@click.option(
    "--partition-rows",
    type=click.IntRange(min=1),
    default=_PARTITION_ROWS,
    show_default=True,
    help="Most rows of a partition; a file with more is several.",
)
@click.option(
    "--version", type=click.IntRange(min=1), help="One that was in Production, not the current."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def score_command(  # noqa: PLR0917 - click calls it, by name
    model: str,
    source: str,
    target: str,
    engine: str,
    workers: int | None,
    partition_rows: int,
    version: int | None,
    as_json: bool,
) -> None:
    """Answer each row of INPUT by MODEL's Production version, one output file a partition.

    {series} in MODEL stands for the series of a fleet, named by a column `series`. Repeated, the
    command goes on where it was ended: nothing that is complete is scored again.

    Exit codes: 2 something typed does not exist, 4 registry, ledger or store are out of reach,
    5 a partition was refused (row and column are named) and has no output; all others have.

    \b
    Examples:
      python -m training score iris --input flowers.parquet --output scored/
      python -m training score iris --input s3://lake/flowers --output s3://lake/scored
      python -m training score 'ProphetModel-{series}' --input next-month.parquet --output plan/
    """
    from registry.sql_ledger import SqlLedger  # noqa: PLC0415 - slow, and --help needs none of it
    from training import apart  # noqa: PLC0415 - as above
    from training.crews import crew_of  # noqa: PLC0415 - as above
    from training.scoring.order import Order  # noqa: PLC0415 - as above
    from training.scoring.score import run_score  # noqa: PLC0415 - as above
    from training.scoring.stores import store_of  # noqa: PLC0415 - as above
    from training.scoring.task import score  # noqa: PLC0415 - as above

    settings = Settings.read()
    apart.hand_over_engine(engine, sys.argv[1:])
    for address in (source, target):
        store_of(address)
    ledger = SqlLedger(settings.ledger_url)
    try:
        order = Order.of(model, ledger, version=version, partition_rows=partition_rows)
    finally:
        ledger.close()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Ray prints; standard output is for the result alone.
        with _progress(order.told) as (on_count, on_part), redirect_stdout(sys.stderr):
            scored = run_score(
                order,
                settings,
                source=source,
                target=target,
                crew=crew_of(engine, score, settings, size=workers, processors=os.cpu_count() or 1),
                on_part=on_part,
                on_count=on_count,
            )
    except KeyboardInterrupt:
        err.print("interrupted; the same command goes on from there")
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(scored.to_json())
    else:
        _show(scored)
    if scored.failed:
        raise SystemExit(STEP_FAILED)


@contextmanager
def _progress(told: str) -> Iterator[tuple[Callable[[int], None], Callable[[Part], None]]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as bar:
        task = bar.add_task(told, total=None)
        yield (
            lambda count: bar.update(task, total=count),
            lambda _: bar.update(task, advance=1),
        )


def _show(scored: Scored) -> None:
    """How much was answered, and what was refused."""
    if scored.failed:
        table = Table("refused", "why")
        for part in scored.failed:
            table.add_row(part.partition.output, part.reason)
        out.print(table)
    kept = f", {scored.kept} of them before" if scored.kept else ""
    done = len(scored.parts) - len(scored.failed)
    out.print(
        f"{scored.order.told}: {scored.rows:,} rows in {done} of {len(scored.parts)} partitions"
        f"{kept}, {scored.seconds:.1f} s",
        soft_wrap=True,
    )
