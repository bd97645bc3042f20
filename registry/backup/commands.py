"""`python -m registry backup` and `restore`."""

from __future__ import annotations

import signal
from typing import Any

import click

from registry import log
from registry.backup.export import Sources, back_up
from registry.backup.place import Backup, Place
from registry.backup.restore import Restored, Wish, check, restore
from registry.backup.schedule import Schedule, Tally, telling
from registry.console import STEP_FAILED, err, exits, out, print_json
from registry.errors import UsageError
from registry.settings import Settings
from registry.stop import Stop

_HOUR = 3600.0
_HIGHEST_EPOCH = 2**22  # a node's page has room for twice that


@click.command("backup")
@click.argument("place")
@click.option("--keep", type=click.IntRange(min=1), help="Remove older backups than so many.")
@click.option("--every", type=click.FloatRange(min=0, min_open=True), help="Hours; goes on.")
@click.option("--listen", default="", help="With --every: host:port that answers GET /metrics.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a sentence.")
@exits
def backup_command(
    place: str, keep: int | None, every: float | None, listen: str, as_json: bool
) -> None:
    """Copy experiments, runs, versions, artifacts and the ledger to PLACE.

    PLACE is a directory or s3://bucket/prefix. Exit code 5: a backup was made, and what serves
    is not whole in it, or it could not be made.

    \b
    Examples:
      python -m registry backup /backups --keep 14
      python -m registry backup s3://backups/baton --every 24 --keep 14 --listen :9110
    """
    settings = Settings.read()
    where = Place(place, endpoint=settings.s3_endpoint)
    if every is None:
        if listen:
            raise UsageError("--listen: needs --every")
        _show(back_up(settings, where, keep_backups=keep, say=_say), where, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json: not with --every, which logs what it does")
    _go_on(settings, where, keep=keep, hours=every, listen=listen)


@click.command("restore")
@click.argument("place")
@click.option("--backup", "name", default="", help="Its id or number. Default: the newest.")
@click.option("--replace", is_flag=True, help="Even where there is something already.")
@click.option(
    "--epoch",
    type=click.IntRange(2, _HIGHEST_EPOCH),
    help="Where PLACE cannot be written: higher than any that was in use.",
)
@click.option("--check", "only_check", is_flag=True, help="Read the whole backup, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@exits
def restore_command(
    place: str, name: str, replace: bool, epoch: int | None, only_check: bool, as_json: bool
) -> None:
    """Put a backup where the settings say, in a new epoch of the ledger.

    Refuses databases, a ledger and artifacts that are not empty. Exit code 5: something could not
    be restored; it says what.

    \b
    Examples:
      python -m registry restore /backups --check
      python -m registry restore /backups --backup 12 --replace
    """
    settings = Settings.read()
    where = Place(place, endpoint=settings.s3_endpoint)
    if only_check:
        done = check(where, name, say=_say)
    else:
        done = restore(settings, where, Wish(name, replace, epoch), say=_say)
    _show_restored(done, as_json=as_json)


def _go_on(
    settings: Settings, place: Place, *, keep: int | None, hours: float, listen: str
) -> None:
    Sources.of(settings)  # what is set wrongly is told at once, not at every attempt
    log.to_json(settings.log_level)
    stop = Stop.on(signal.SIGTERM, signal.SIGINT)
    tally = Tally()

    def make() -> Backup:
        return back_up(settings, place, keep_backups=keep, say=lambda _: None)

    with telling(tally, listen):
        tally.look(place)
        Schedule(hours * _HOUR, make, tally).run(stop)


def _say(what: str) -> None:
    err.print(what, soft_wrap=True)


def _show(backup: Backup, place: Place, *, as_json: bool) -> None:
    body: dict[str, Any] = {"backup": backup.id, "place": place.store.address, **backup.body}
    if as_json:
        print_json(body)
    else:
        size = body["artifacts"]["bytes"] / 1e6
        _tell(body["problems"], body["notes"])
        out.print(
            f"backup {backup.id}: {body['ledger']['entries']} entries, {body['versions']} versions "
            f"and {body['artifacts']['files']} files of {size:.1f} MB in {body['seconds']} s",
            soft_wrap=True,
        )
    if body["problems"]:
        raise SystemExit(STEP_FAILED)


def _show_restored(done: Restored, *, as_json: bool) -> None:
    if as_json:
        print_json(done.to_json())
    else:
        _tell(done.problems, done.notes)
        what = "was read" if done.epoch is None else f"is restored, in epoch {done.epoch}"
        out.print(
            f"backup {done.backup.id} {what}: {done.models} models, {done.files} files in "
            f"{done.seconds} s",
            soft_wrap=True,
        )
    if done.problems:
        raise SystemExit(STEP_FAILED)


def _tell(problems: Any, notes: Any) -> None:
    for note in notes:
        err.print(f"note: {note}", soft_wrap=True)
    for problem in problems:
        err.print(f"problem: {problem}", style="red", soft_wrap=True)
