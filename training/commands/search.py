"""Search for parameters from the command line: `python -m training search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from registry.console import err, exits, out, print_json
from registry.errors import UsageError
from registry.settings import Settings
from training.commands import asked
from training.commands.working import hand_over, interruptible

if TYPE_CHECKING:
    from training.search import Searched


@click.command("search")
@asked.asks
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--seconds", type=float, help="Begin no trial after so long.")
@click.option("--study", help="Name of the study; go on with one by its name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def search_command(
    *,
    params: tuple[str, ...],
    trials: int,
    seconds: float | None,
    study: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Try parameters of WORKLOAD inside the training part, then train with the best.

    What is given by --param stays as it is. The trials are kept below BATON_HOME/searches.

    Exit codes: those of `run`.
    """
    from training.search import search, unused  # noqa: PLC0415 - pandas would slow down --help

    settings = Settings.read()
    plan = asked.plan(settings, params=params, **options)
    hand_over(plan)
    if study is not None and not study.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"--study {study!r}: expected letters, digits, - and _")
    name = study or unused(settings.home, plan.model)

    def tell(number: int, value: float | None) -> None:
        err.print(f"{name}: trial {number}: {'failed' if value is None else f'{value:.6g}'}")

    err.print(f"study {name}: if it is stopped, go on with --study {name}")
    with interruptible():
        found = search(
            plan,
            settings,
            study=name,
            trials=trials,
            fixed={*asked.pairs(params)},
            seconds=seconds,
            on_trial=tell,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: Searched) -> None:
    """The best parameters and the version, for people."""
    table = Table("parameter", "best")
    for name, value in found.params.items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    began = "failed" if found.default is None else f"{found.default:.6g}"
    out.print(
        f"study {found.study}: {found.trials} trials, {found.failed} failed; "
        f"{found.objective} {found.best:.6g}, with the parameters as they were {began}",
        markup=False,
        soft_wrap=True,
    )
    out.print(table)
    trained = found.trained
    out.print(f"{trained.model} v{trained.version}: {trained.verdict}", soft_wrap=True)
