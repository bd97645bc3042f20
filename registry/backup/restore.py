"""One restoration: artifacts first, then MLflow's databases, the ledger last.

Whatever serves goes by the ledger, so until its one transaction is done nothing has changed for a
node, and afterwards everything it names is there. It can be run again after an end at any point.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.backup.artifacts import bring, faults
from registry.backup.export import ARTIFACTS_SETTING, LEDGER, Say, Sources
from registry.backup.history import History, LedgerRows
from registry.backup.place import Backup, Item, Place
from registry.backup.store import copied
from registry.errors import StepFailed, UsageError
from registry.settings import Settings


@dataclass(frozen=True)
class Wish:
    """What is asked for: which backup (the newest if empty), over what there is, in which epoch."""

    backup: str = ""
    replace: bool = False
    epoch: int | None = None


@dataclass(frozen=True)
class Restored:
    """What came of it; `epoch` is None where a backup was only looked at."""

    backup: Backup
    epoch: int | None
    files: int
    models: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**dataclasses.asdict(self), "backup": self.backup.id}


def restore(settings: Settings, place: Place, wish: Wish, *, say: Say) -> Restored:
    """Put a backup where the settings say; what it lacks is among the problems."""
    begun = time.monotonic()
    backup, sources = _chosen(place, wish.backup), Sources.of(settings)
    sources.apart_from(place)
    _fits(backup, sources)
    for database in sources.databases.values():
        database.reach()
    with (
        _parts(place, backup) as parts,
        closing(LedgerRows(sources.ledger_url)) as ledger,
        ledger.alone(),
    ):
        if not wish.replace:
            _refuse_what_is_there(sources, ledger)
        epoch = _new_epoch(place, backup, ledger, wish.epoch)
        say(f"artifacts of {backup.id} …")
        items = {item.name: item for item in place.items(backup.id)}
        lost = bring(place, list(items.values()), sources.artifacts)
        sources.artifacts.settle()
        for purpose, database in sources.databases.items():
            say(f"{purpose} …")
            database.load(parts[f"{purpose}.dump"])
        say(f"ledger, in epoch {epoch} …")
        with parts[LEDGER].open("rb") as lines:
            ledger.load(
                lines,
                epoch=epoch,
                actor=settings.actor,
                why=f"restored from backup {backup.id}",
                at_ms=time.time_ns() // 1_000_000,
            )
        history = ledger.read()
    problems, notes = _found(history, items, lost, sources.artifacts.address)
    seconds = round(time.monotonic() - begun, 1)
    models = len(history.heads)
    return Restored(backup, epoch, len(items) - len(lost), models, problems, notes, seconds)


def check(place: Place, name: str, *, say: Say) -> Restored:
    """Read a whole backup, and write nothing."""
    begun = time.monotonic()
    backup = _chosen(place, name)
    items = {item.name: item for item in place.items(backup.id)}
    with _parts(place, backup):
        say(f"artifacts of {backup.id} …")
        lost = bring(place, list(items.values()), None)
    problems = (*backup.body["problems"], *_lost(lost))
    seconds, models = round(time.monotonic() - begun, 1), backup.body["ledger"]["models"]
    notes = tuple(backup.body["notes"])
    return Restored(backup, None, len(items) - len(lost), models, problems, notes, seconds)


def _chosen(place: Place, name: str) -> Backup:
    place.store.look()
    if not place.is_one():
        raise UsageError(f"{place.store.address}: no backup was ever made there")
    return place.backup(name)


@contextmanager
def _parts(place: Place, backup: Backup) -> Iterator[Mapping[str, Path]]:
    """The backup's files on this machine; StepFailed if one is not as it was written."""
    with tempfile.TemporaryDirectory(prefix="baton-restore-") as scratch:
        found = {}
        for name, expected in backup.body["parts"].items():
            found[name] = Path(scratch, name)
            where = f"{place.store.address}/backups/{backup.id}/{name}"
            try:
                with (
                    place.store.read(f"backups/{backup.id}/{name}") as source,
                    found[name].open("wb") as target,
                ):
                    sha256, _ = copied(source, target, Path(scratch))
            except FileNotFoundError:
                raise StepFailed(f"{where}: missing; restore another backup") from None
            if sha256 != expected["sha256"]:
                raise StepFailed(
                    f"{where}: damaged: expected sha256 {expected['sha256'][:12]}, got "
                    f"{sha256[:12]}; restore another backup"
                )
        yield found


def _fits(backup: Backup, sources: Sources) -> None:
    """Whether what is in the backup can be what the settings name."""
    held = {p["purpose"]: p["dialect"] for p in backup.body["parts"].values() if "purpose" in p}
    here = {purpose: database.dialect for purpose, database in sources.databases.items()}
    if held != here:
        names = {"tracking": "MLFLOW_TRACKING_URI", "registry": "MLFLOW_REGISTRY_URI"}
        odd = sorted(p for p in held.keys() | here.keys() if held.get(p) != here.get(p))
        raise UsageError(
            "; ".join(
                f"{names.get(p, 'BATON_BACKUP_AUTH_URL')}: the backup has "
                f"{held.get(p, 'no such database')}, here is {here.get(p, 'none')}"
                for p in odd
            )
        )
    was, now = backup.body["artifacts"]["address"], sources.artifacts.address
    if was != now and backup.body["artifacts"]["is_named"]:
        raise UsageError(
            f"{ARTIFACTS_SETTING}: the ledger in this backup names files at {was}, and here is "
            f"{now}: restore to the same address (another server may have it)"
        )


def _refuse_what_is_there(sources: Sources, ledger: LedgerRows) -> None:
    there = [
        f"database {p!r}" for p, database in sources.databases.items() if not database.is_empty()
    ]
    if ledger.revision:
        there.append("the ledger")
    if next(iter(sources.artifacts.files()), None):
        there.append(f"the artifacts at {sources.artifacts.address}")
    if there:
        raise UsageError(
            f"not empty: {', '.join(there)}; with --replace what is in the databases is lost, and "
            "artifacts of the same name are replaced (to go on with a restoration that broke off, "
            "too)"
        )


def _new_epoch(place: Place, backup: Backup, ledger: LedgerRows, wished: int | None) -> int:
    """Higher than any that a node can have seen, and never given out again from this place."""
    least: int = max(backup.body["ledger"]["epoch"], place.epoch, ledger.epoch) + 1
    if wished is not None:
        if wished < least:
            raise UsageError(f"--epoch {wished}: epochs up to {least - 1} were in use")
        return wished
    try:
        place.note_epoch(least)
    except Exception as error:
        error.add_note(
            "A restoration notes its epoch there, so that the next one begins a later one. Where "
            f"that cannot be: --epoch {least}, or higher, if anything was restored from a copy."
        )
        raise
    return least


def _found(
    history: History, items: Mapping[str, Item], lost: Mapping[str, str], root: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with what was restored."""
    there = {name: item for name, item in items.items() if name not in lost}
    heads = {model: entry.route for model, entry in history.heads.items() if entry.route}
    wrong, gone = faults(history.routes, heads, there, root)
    broken = [history.problem] if history.problem else []
    return (*broken, *_lost(lost), *wrong), tuple(gone)


def _lost(lost: Mapping[str, str]) -> list[str]:
    return [f"{name}: {why}" for name, why in sorted(lost.items())]
