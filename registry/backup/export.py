"""One backup: the ledger and MLflow's databases as of one moment, then every artifact.

The order is what makes it whole. A version's files are there before MLflow knows the version, and
MLflow knows it before the ledger names it; so the ledger is read first and the files last. Should
the ledger move while MLflow's databases are copied, both are done again.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from registry.backup.artifacts import Kept, faults, keep, relative
from registry.backup.databases import Database, databases
from registry.backup.history import History, LedgerRows
from registry.backup.place import ARTIFACTS, Backup, Place, open_store
from registry.backup.store import Store, overlap
from registry.errors import SettingsError, UsageError
from registry.settings import Settings

LEDGER: Final = "ledger.jsonl"
_TRIES = 5  # for a moment in which nothing is promoted
ARTIFACTS_SETTING: Final = "BATON_ARTIFACTS"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """What is backed up, and what is restored to."""

    ledger_url: str
    databases: Mapping[str, Database]
    artifacts: Store

    @classmethod
    def of(cls, settings: Settings) -> Sources:
        """Where the settings say; nothing is asked yet."""
        address = settings.artifacts
        if not address and not settings.tracking_uri.startswith("sqlite"):
            raise SettingsError(
                f"{ARTIFACTS_SETTING}: needed because the registry is not an embedded one; "
                "expected where MLflow keeps its artifacts, as s3://mlflow"
            )
        artifacts = open_store(
            address or str(settings.artifacts_dir),
            what=ARTIFACTS_SETTING,
            endpoint=settings.s3_endpoint,
        )
        return cls(settings.ledger_url, databases(settings), artifacts)

    def look(self) -> None:
        """Raise unless all of it is there, and MLflow's files are where they are said to be."""
        for database in self.databases.values():
            database.look()
        self.artifacts.look()
        named, root = self.databases["tracking"].artifact_roots(), self.artifacts.address
        if named and not any(relative(one, root) is not None for one in named):
            raise SettingsError(
                f"{ARTIFACTS_SETTING}: is {root}, and MLflow keeps its files at {', '.join(named)}"
            )

    def apart_from(self, place: Place) -> None:
        """Refuse to keep backups among what they are made of."""
        if overlap(self.artifacts, place.store):
            raise UsageError(
                f"{place.store.address}: lies where the artifacts are ({self.artifacts.address}): "
                "name another place"
            )


def back_up(settings: Settings, place: Place, *, keep_backups: int | None, say: Say) -> Backup:
    """Make a backup; with `keep_backups`, remove older ones. It may be whole and not sound."""
    begun = time.monotonic()
    sources = Sources.of(settings)
    sources.apart_from(place)
    sources.look()
    with closing(LedgerRows(sources.ledger_url)) as ledger, ledger.alone():
        place.claim(ledger.id)
        now = datetime.now(UTC)
        name = place.begin(f"{now:%Y%m%dT%H%M%SZ}")
        history, parts, notes = _databases(sources, ledger, place, name, say)
        say("artifacts …")
        kept = keep(sources.artifacts, place, name)
        say(f"artifacts: {len(kept.items)} files, {kept.read} of them read")
        body = _body(sources, history, kept)
        body["notes"] += notes
        body["parts"] = {**parts, ARTIFACTS: _part(io.BytesIO(kept.listing()))}
        body["made_at"] = now.isoformat(timespec="seconds")
        body["seconds"] = round(time.monotonic() - begun, 1)
        made = place.finish(name, body)
        removed = _prune(place, keep_backups)
        if removed:
            say(f"{removed} older backups removed")
    return made


def _databases(
    sources: Sources, ledger: LedgerRows, place: Place, name: str, say: Say
) -> tuple[History, dict[str, Any], list[str]]:
    """The ledger and MLflow's databases, of a moment in which nothing was appended."""
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="baton-backup-", dir=place.store.scratch) as scratch:
        for tries in range(1, _TRIES + 1):
            history, parts = _copies(sources, ledger, Path(scratch), say)
            if ledger.revision == history.revision:
                break
            say("something was promoted meanwhile; once more")
            if tries == _TRIES:
                notes.append(
                    "something was promoted while MLflow's databases were copied: restored, the "
                    "registrar may take it for a change by hand"
                )
        for file in parts:
            with Path(scratch, file).open("rb") as copy:
                place.put(name, file, copy)
    return history, parts, notes


def _copies(
    sources: Sources, ledger: LedgerRows, scratch: Path, say: Say
) -> tuple[History, dict[str, Any]]:
    for old in scratch.iterdir():
        old.unlink()
    with Path(scratch, LEDGER).open("wb") as file:
        history = ledger.save(file)
    say(f"ledger: {history.entries} entries of {len(history.heads)} models")
    with Path(scratch, LEDGER).open("rb") as file:
        parts = {LEDGER: _part(file)}
    for purpose, database in sources.databases.items():
        copy = Path(scratch, f"{purpose}.dump")
        database.save(copy)
        with copy.open("rb") as file:
            own = {"purpose": purpose, "dialect": database.dialect}
            parts[copy.name] = {**_part(file), **own}
        say(f"{purpose}: {copy.stat().st_size} bytes of {database.dialect}")
    return history, parts


def _part(file: io.BufferedIOBase) -> dict[str, Any]:
    """A file of a backup, as `backup.json` names it."""
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "size": file.tell()}


def _body(sources: Sources, history: History, kept: Kept) -> dict[str, Any]:
    """What `backup.json` says of it."""
    root = sources.artifacts.address
    heads = {model: entry.route for model, entry in history.heads.items() if entry.route}
    wrong, gone = faults(history.routes, heads, kept.items, root)
    named = sources.databases["tracking"].artifact_roots()
    addresses = [*named, *(route.source for _, route in history.routes)]
    inside = [one for one in addresses if relative(one, root) is not None]
    gone += [
        f"experiments at {one}: outside {root}: not in the backup"
        for one in named
        if relative(one, root) is None
    ]
    return {
        "ledger": history.to_json(),
        "artifacts": {"address": root, "is_named": any(map(_is_fixed, inside)), **kept.to_json()},
        "versions": len(history.routes),
        "problems": [*([history.problem] if history.problem else []), *wrong],
        "notes": gone,
    }


def _is_fixed(address: str) -> bool:
    """Whether an address says where a store is, and not only which file of it."""
    return not address.startswith("mlflow-artifacts:/")


def _prune(place: Place, keep_backups: int | None) -> int:
    """Keep so many of the newest, and the newest sound one; what broke off goes anyway."""
    whole, broken = place.backups(), place.broken()
    sound = next((backup for backup in whole if backup.is_sound), None)
    kept = {backup.id for backup in whole[:keep_backups]} | ({sound.id} if sound else set())
    old = [backup.id for backup in whole if backup.id not in kept]
    for name in [*old, *broken]:
        place.remove(name)
    if old or broken:
        place.sweep(needed={item.sha256 for name in kept for item in place.items(name)})
    return len(old)
