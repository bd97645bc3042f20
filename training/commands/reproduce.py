"""Make a run again: `python -m training reproduce`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.table import Table

from registry.console import STEP_FAILED, exits, out, print_json
from registry.settings import Settings
from training.commands.working import hand_over, interruptible, steps_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.reproduction import Difference, Reproduction


@click.command("reproduce")
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def reproduce_command(run_id: str, *, as_json: bool) -> None:
    """Make a run again from its plan and seed, and compare data, parameters and metrics.

    The new run registers nothing and has the tag baton.reproduces. Numbers are to be equal bit for
    bit, those made by Keras within 1e-6. Packages, commit and machine that differ are said.

    Exit codes: 2 no such run, or one that cannot be made again; 5 it differs, or a step failed.
    """
    from training.record import Record  # noqa: PLC0415 - pandas would slow down --help
    from training.reproduction import reproduce  # noqa: PLC0415 - as above
    from training.tracking import Tracking  # noqa: PLC0415 - as above

    settings = Settings.read()
    record = Record.of(Tracking(settings), run_id)
    hand_over(record.plan)
    with interruptible(), steps_shown(record.plan.workload) as on_step:
        found = reproduce(record, settings, on_step=on_step)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    if found.differs:
        sys.exit(STEP_FAILED)


def _show(found: Reproduction) -> None:
    """For people."""
    exactly = f"within {found.tolerance:g}" if found.tolerance else "bit for bit"
    said = "it differs" if found.differs else f"the same, {exactly}"
    out.print(f"{found.run_id} again as {found.made}: {said}", soft_wrap=True)
    if found.differs:
        out.print(_table("what differs", found.differs))
    if found.made_with:
        out.print(_table("made with", found.made_with))
    for caveat in found.caveats:
        out.print(caveat, soft_wrap=True)


def _table(title: str, differences: Sequence[Difference]) -> Table:
    table = Table(title, "then", "now")
    for one in differences:
        table.add_row(one.what, _text(one.before), _text(one.now))
    return table


def _text(value: object) -> str:
    """A number with all its digits; nothing for what is not there."""
    return "" if value is None else str(value)
