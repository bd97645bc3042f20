"""What a person asks for on a command line that trains: the same options for each such command."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.console import err
from registry.errors import UsageError
from registry.settings import Settings

if TYPE_CHECKING:
    from training.job import Plan

DEFAULT_WORKLOAD = "petr4"
# What shells say of a command that was ended by Ctrl-C.
INTERRUPTED = 130

_OPTIONS = (
    click.argument("workload", default=DEFAULT_WORKLOAD),
    click.option(
        "--param",
        "-p",
        "param",
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


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options, as typed."""

    workload: str
    param: tuple[str, ...]
    source: str | None
    series: str | None
    file: Path | None
    experiment: str | None
    model: str | None
    seed: int | None

    @property
    def params(self) -> Mapping[str, str]:
        """`NAME=VALUE` texts as a mapping; raises UsageError for anything else."""
        pairs: dict[str, str] = {}
        for text in self.param:
            name, found, value = text.partition("=")
            if not found or not name:
                raise UsageError(f"--param {text!r}: expected NAME=VALUE, as holdout_days=60")
            pairs[name.strip()] = value.strip()
        return pairs

    def plan(self, settings: Settings) -> Plan:
        """Complete and checked.

        Does not return where the workload's libraries are in another environment: this process
        becomes the same command there.
        """
        from training import apart  # noqa: PLC0415 - pandas would slow down --help
        from training.configuration import SUFFIX, read  # noqa: PLC0415 - as above
        from training.job import Plan  # noqa: PLC0415 - as above
        from training.workloads import get  # noqa: PLC0415 - as above

        is_file = self.workload.endswith(SUFFIX)
        plan = Plan.of(
            self.workload,
            settings,
            params=self.params,
            source=self.source,
            series=self.series,
            file=self.file,
            experiment=self.experiment,
            model=self.model,
            seed=self.seed,
            configuration=read(Path(self.workload)) if is_file else None,
        )
        apart.hand_over(get(plan.workload, configuration=plan.configuration).about, sys.argv[1:])
        return plan


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, handed to it as `asked`."""
    names = [field.name for field in fields(Asked)]

    @functools.wraps(command)
    def asking(**given: Any) -> None:
        command(asked=Asked(**{name: given.pop(name) for name in names}), **given)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), asking)


@contextmanager
def interruptible(said: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a training with a sentence; standard output is for its result."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Libraries print.
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        err.print(f"interrupted; {said}", soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
