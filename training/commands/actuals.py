"""Fetch what came true of forecasts: `python -m training actuals`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click
from rich.table import Table

from registry.console import STEP_FAILED, exits, out, print_json
from registry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.actuals import Fetched

_DAY: Final = 86_400.0


@click.command("actuals")
@click.argument("model", required=False)
@click.option(
    "--days",
    default=90,
    show_default=True,
    type=click.IntRange(1),
    help="Predictions of so many days back are looked at.",
)
@click.option(
    "--correct", is_flag=True, help="Values that the source has changed replace those before."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def actuals_command(*, model: str | None, days: int, correct: bool, as_json: bool) -> None:
    """Fetch what came true of MODEL's forecasts, or of all models', from where they learnt.

    Values are kept by series and date; those that are there already change nothing. Dates that
    the source does not have yet are open.

    Exit codes: 2 nothing is logged here; 4 a database or MLflow is out of reach; 5 a source failed.

    \b
    Examples:
      python -m training actuals
      python -m training actuals ProphetModel --days 365
    """
    from registry.books import open_books  # noqa: PLC0415 - slow, and --help needs none of it
    from registry.client import MlflowRegistry  # noqa: PLC0415 - as above
    from training.actuals import Actuals, from_source  # noqa: PLC0415 - as above
    from training.tracking import Tracking  # noqa: PLC0415 - as above
    from training.versions import Versions  # noqa: PLC0415 - as above

    settings = Settings.read()
    books = open_books(settings)
    client = MlflowRegistry(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)
    actuals = Actuals(
        log=books.log,
        outcomes=books.outcomes,
        runs=Versions(client, Tracking(settings)),
        values_of=from_source(settings.home / "data"),
    )
    until = time.time()
    since = until - days * _DAY
    models = [model] if model else books.log.models(since, until)
    found = [one for name in models for one in actuals.fetch(name, since, until, correct=correct)]
    if as_json:
        print_json({"series": [one.to_json() for one in found]})
    else:
        _show(found, days)
    if any(one.failed for one in found):
        sys.exit(STEP_FAILED)


def _show(found: Sequence[Fetched], days: int) -> None:
    """One line a series, and why one failed."""
    if not found:
        out.print(f"no forecast of a version of ours in the last {days} days")
        return
    names = ("accepted", "duplicate", "contradicting")
    table = Table("model", "series", "source", *names, "open", "why not")
    for one in found:
        body = one.to_json()
        counts = [str(body[name]) for name in (*names, "open")]
        table.add_row(one.model, one.series, one.source, *counts, one.failed)
    out.print(table)
