"""What a person may ask for when a run is begun: the options of `run` and of `begin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.errors import UsageError
from registry.settings import Settings

if TYPE_CHECKING:
    from training.job import Plan

DEFAULT_WORKLOAD = "petr4"

_OPTIONS = (
    click.argument("workload", default=DEFAULT_WORKLOAD),
    click.option(
        "--param",
        "-p",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="A parameter of the workload; may be given several times.",
    ),
    click.option(
        "--source", help="sample, yahoo, csv, folder or fundus. Default: the workload's own."
    ),
    click.option("--series", help="Which series of the source, as usd_brl or PETR4.SA."),
    click.option(
        "--file", type=click.Path(path_type=Path), help="A CSV file, or a directory of pictures."
    ),
    click.option("--experiment", help="MLflow experiment, instead of the workload's."),
    click.option("--model", help="Registered model, instead of the workload's."),
    click.option("--seed", type=click.IntRange(min=0), help="Seed of everything. Default: 42."),
)


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that `plan` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def plan(settings: Settings, *, workload: str, params: tuple[str, ...], **asked: Any) -> Plan:
    """What was asked for, complete; `asked` are the other options. Raises UsageError."""
    from training.configuration import SUFFIX, read  # noqa: PLC0415 - pandas would slow down --help
    from training.job import Plan  # noqa: PLC0415 - as above

    configuration = read(Path(workload)) if workload.endswith(SUFFIX) else None
    return Plan.of(workload, settings, params=pairs(params), configuration=configuration, **asked)


def pairs(params: tuple[str, ...]) -> Mapping[str, str]:
    """`NAME=VALUE` texts as a mapping; raises UsageError for anything else."""
    named: dict[str, str] = {}
    for text in params:
        name, found, value = text.partition("=")
        if not found or not name:
            raise UsageError(f"--param {text!r}: expected NAME=VALUE, as holdout_days=60")
        named[name.strip()] = value.strip()
    return named
