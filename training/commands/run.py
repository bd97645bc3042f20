"""Train from the command line: `python -m training run`."""

from __future__ import annotations

from typing import Any

import click

from registry.console import exits, print_json
from registry.settings import Settings
from training.commands import asked
from training.commands.working import hand_over, interruptible, show, steps_shown


@click.command("run")
@asked.asks
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def run_command(*, as_json: bool, **options: Any) -> None:
    """Train WORKLOAD (petr4 if none is named): one MLflow run, one registered version.

    WORKLOAD is a name of `list`, or the path of a configuration, which ends with .toml.

    Exit codes: 2 something typed does not exist, 4 MLflow is out of reach, 5 a step failed.
    """
    from training.pipeline import run  # noqa: PLC0415 - pandas would slow down --help

    settings = Settings.read()
    plan = asked.plan(settings, **options)
    hand_over(plan)
    with interruptible(), steps_shown(plan.workload) as on_step:
        trained = run(plan, settings, on_step=on_step)
    if as_json:
        print_json(trained.to_json())
    else:
        show(trained)
