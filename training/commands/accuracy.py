"""How right a model was: `python -m training accuracy`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from registry.console import exits, out, print_json
from registry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.live_accuracy import Score

_DAY: Final = 86_400.0
_WIDEST: Final = 200
_UNKNOWN: Final = "unknown"


@click.command("accuracy")
@click.argument("model")
@click.option(
    "--days",
    default=30,
    show_default=True,
    type=click.IntRange(1),
    help="Predictions of so many days back are judged.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def accuracy_command(model: str, *, days: int, as_json: bool) -> None:
    """Judge MODEL's predictions of the last days by what came true, by version and day ahead.

    Feedback and `python -m training actuals` say what came true. A score of too few is marked; a
    measure that cannot be told is unknown, never 0.

    Exit codes: 2 nothing is logged here; 4 a database or MLflow is out of reach.

    \b
    Examples:
      python -m training accuracy iris
      python -m training accuracy ProphetModel --days 365 --json
    """
    from registry.books import open_books  # noqa: PLC0415 - slow, and --help needs none of it
    from registry.client import MlflowRegistry  # noqa: PLC0415 - as above
    from registry.feedback import pending  # noqa: PLC0415 - as above
    from registry.live_accuracy import scores  # noqa: PLC0415 - as above
    from registry.pairing import LoggedTruth  # noqa: PLC0415 - as above
    from training.tracking import Tracking  # noqa: PLC0415 - as above
    from training.versions import Versions  # noqa: PLC0415 - as above

    settings = Settings.read()
    books = open_books(settings)
    client = MlflowRegistry(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)
    versions = Versions(client, Tracking(settings))
    until = time.time()
    since = until - days * _DAY
    found = scores(LoggedTruth(*books, versions.facts).pairs(model, since, until))
    waiting = pending(books.outcomes, since, until)
    if as_json:
        body = {"model": model, "days": days, "pending": waiting}
        print_json({**body, "scores": [score.to_json() for score in found]})
        return
    if found:
        for names in sorted({tuple(score.measures) for score in found}):
            _show([score for score in found if tuple(score.measures) == names], names)
    else:
        out.print(f"{model}: nothing came true yet of what it predicted in the last {days} days")
    if waiting:
        out.print(f"{waiting} pieces of feedback are about predictions that are not in the log")


def _show(found: Sequence[Score], names: Sequence[str]) -> None:
    """One line a score."""
    from registry.live_accuracy import LEAST  # noqa: PLC0415 - as above

    table = Table("version", "arm", "series", "day ahead", "n", *names, "", box=SIMPLE_HEAD)
    for score in found:
        group = score.group
        table.add_row(
            group.version,
            group.arm,
            group.series,
            str(group.horizon or "all"),
            str(score.n),
            *(_UNKNOWN if value is None else f"{value:.4g}" for value in score.measures.values()),
            "" if score.is_enough else f"too few: under {LEAST}",
        )
    Console(width=_WIDEST, highlight=False, markup=False).print(table)
