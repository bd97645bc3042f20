"""Where backups are kept, and which of them are whole.

    place.json                  whose backups these are, and the last epoch that was given out
    objects/ab/abcdef…          the bytes of artifacts, each once, by SHA-256
    backups/000007-20261122T0918Z/
        ledger.jsonl            the ledger (history.py)
        tracking.dump, …        MLflow's databases (databases.py)
        artifacts.jsonl         every artifact: name, size, stamp, SHA-256
        backup.json             written last: without it a folder is a backup that broke off

One process at a time writes here: backups of a ledger are made under a lock in its database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from registry.backup.bucket import Bucket
from registry.backup.directory import Directory
from registry.backup.store import Store, json_file
from registry.errors import StepFailed, UnknownName, UsageError

FORMAT: Final = 1
ARTIFACTS: Final = "artifacts.jsonl"
_MARK, _WHOLE = "place.json", "backup.json"
WHAT: Final = "the place of backups"


@dataclass(frozen=True)
class Item:
    """An artifact in a backup."""

    name: str
    size: int
    stamp: str
    sha256: str


@dataclass(frozen=True)
class Backup:
    """A whole backup, newest by number. `body` is what stands in its `backup.json`."""

    id: str
    body: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Backups are counted: clocks are set back."""
        return _number(self.id)

    @property
    def is_sound(self) -> bool:
        """Whether every version in it is what the ledger says."""
        return not self.body["problems"]


class Place:
    """A store with that layout."""

    def __init__(self, address: str, *, endpoint: str) -> None:
        """Nothing is asked before it must be."""
        self.store: Store = open_store(address, what=WHAT, endpoint=endpoint)

    def claim(self, ledger: str) -> None:
        """Make it the place of this ledger's backups; UsageError if it is anything else."""
        mark = self._json(_MARK)
        if mark is None:
            if any(True for _ in self.store.files()):
                raise UsageError(
                    f"{self.store.address}: there is something else in it; name an empty place"
                )
            self.store.write(_MARK, json_file({"format": FORMAT, "ledger": ledger, "epoch": 0}))
        elif mark["ledger"] != ledger:
            raise UsageError(
                f"{self.store.address}: keeps backups of ledger {mark['ledger']}, and "
                f"BATON_LEDGER_URL is ledger {ledger}: name another place for these"
            )

    def is_one(self) -> bool:
        """Whether backups were ever made here."""
        return self._json(_MARK) is not None

    @property
    def epoch(self) -> int:
        """The last epoch that a restoration from here began."""
        return int((self._json(_MARK) or {}).get("epoch", 0))

    def note_epoch(self, epoch: int) -> None:
        """Never give out this epoch again."""
        mark = {**(self._json(_MARK) or {}), "epoch": epoch}
        self.store.write(_MARK, json_file(mark))

    def backups(self) -> Sequence[Backup]:
        """The whole ones, newest first."""
        found = [name for name, files in self._folders().items() if _WHOLE in files]
        read = [Backup(name, self._json(f"backups/{name}/{_WHOLE}") or {}) for name in found]
        return sorted(read, key=lambda backup: backup.number, reverse=True)

    def backup(self, name: str) -> Backup:
        """The one of this id or number, the newest if it is empty; UnknownName if none is."""
        found = self.backups()
        for one in found:
            if name in {"", one.id, str(one.number)}:
                return one
        raise UnknownName(f"backup at {self.store.address}", name, [one.id for one in found])

    def broken(self) -> Sequence[str]:
        """Those that broke off."""
        return [name for name, files in self._folders().items() if _WHOLE not in files]

    def begin(self, when: str) -> str:
        """The id of a new backup, made at `when` as people write it."""
        last = max((_number(name) for name in self._folders()), default=0)
        return f"{last + 1:06d}-{when}"

    def put(self, backup: str, name: str, file: IO[bytes]) -> None:
        """Keep one part of a backup."""
        self.store.write(f"backups/{backup}/{name}", file)

    def finish(self, backup: str, body: Mapping[str, Any]) -> Backup:
        """From here on it is whole."""
        self.store.settle()
        self.put(backup, _WHOLE, json_file({"format": FORMAT, **body}))
        self.store.settle()
        return Backup(backup, body)

    def remove(self, backup: str) -> None:
        """Take one away, and first what makes it look whole."""
        self.store.delete(f"backups/{backup}/{_WHOLE}")
        for file in sorted(self._folders().get(backup, ())):
            self.store.delete(f"backups/{backup}/{file}")

    def items(self, backup: str) -> Iterator[Item]:
        """The artifacts of a backup, as far as they were written down."""
        try:
            with self.store.read(f"backups/{backup}/{ARTIFACTS}") as file:
                text = file.read().decode()
        except FileNotFoundError:
            return
        for line in text.splitlines():
            yield Item(*json.loads(line))

    def objects(self) -> set[str]:
        """The SHA-256 of every object that is kept."""
        return {found.name.rpartition("/")[2] for found in self.store.files("objects/")}

    def sweep(self, *, needed: Iterable[str]) -> int:
        """Remove every object but these; returns how many that were."""
        superfluous = self.objects() - set(needed)
        for sha256 in superfluous:
            self.store.delete(object_name(sha256))
        return len(superfluous)

    def _folders(self) -> dict[str, set[str]]:
        """Every backup, whole or not, with its files."""
        found: dict[str, set[str]] = {}
        for file in self.store.files("backups/"):
            _, folder, name = (*file.name.split("/", 2), "")[:3]
            if name and _number(folder):
                found.setdefault(folder, set()).add(name)
        return found

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            with self.store.read(name) as file:
                value = json.loads(file.read())
            if value["format"] > FORMAT:
                raise UsageError(f"{self.store.address}: made by a newer Baton: upgrade this one")
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise StepFailed(
                f"{self.store.address}/{name}: cannot be read ({error}); somebody wrote into it: "
                "move what it belongs to away"
            ) from error
        return dict(value)


def open_store(address: str, *, what: str, endpoint: str) -> Store:
    """The store at an address; nothing is asked yet. `endpoint` is S3's, boto3's own if empty."""
    if address.startswith("s3://"):
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        return Bucket(bucket, prefix.strip("/"), what=what, endpoint=endpoint)
    return Directory(Path(address.removeprefix("file://")).expanduser().resolve(), what=what)


def object_name(sha256: str) -> str:
    """Where an object lies."""
    return f"objects/{sha256[:2]}/{sha256}"


def _number(name: str) -> int:
    head = name.partition("-")[0]
    return int(head) if head.isdigit() else 0
