"""What a node serves, as files: written by its watcher, read by its workers, kept over restarts.

One small file a model, named by the model's index in the page: `current` answers (unless the page
already says `preparing`), `previous` stays loaded, so that going back is a flip, and `preparing` is
being loaded. A file is replaced whole, so a reader sees one state or the next, and a swap of one
model costs the same however many there are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from registry.ledger import Key, Role

_log = logging.getLogger(__name__)
_STICKY: Final = re.compile(r"header:([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_PLACE_BYTES: Final = 6
_PLACES: Final = float(2 ** (8 * _PLACE_BYTES))
_NAMED: Final = ("current", "previous", "preparing")
# Left out of a file where they say nothing: so older software can read it.
_OF_ARMS: Final = {"role": Role.SERVE, "arm": None}


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One version of one model at its place in the order; `since_ms` is when it was appended.

    `ticker` is what it forecasts, another name to ask for it by; empty if it is none. `arm` is the
    version beside it, in a split or a shadow.
    A version that no ledger names (pinned, followed by stage, a bundle on disk) has an order of
    this node's own, in epoch 0.
    """

    model: str
    version: int
    digest: str
    key: Key
    since_ms: int
    ticker: str = ""
    role: Role = Role.SERVE
    arm: Arm | None = None

    @property
    def in_ledger(self) -> bool:
        """Whether its key means anything to other nodes and to clients."""
        return self.key.epoch > 0

    @property
    def versions(self) -> tuple[Assignment, ...]:
        """It, and the one beside it."""
        return (self, self.arm) if self.arm else (self,)

    @cached_property
    def arm_name(self) -> str:
        """Which of the arms of a split it is: `serve` or `split`; empty while none is on."""
        is_split = self.role is Role.SPLIT or (self.arm and self.arm.role is Role.SPLIT)
        return self.role.value if is_split else ""

    def named(self, version: str | None) -> Assignment:
        """The arm of a split if it is this version; else itself."""
        arm = self.arm
        return arm if arm and arm.role is Role.SPLIT and version == str(arm.version) else self

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `dataclasses.asdict`; nothing said of arms: there is none."""
        arm = data.get("arm")
        made_of = {"key": Key(**data["key"]), "role": Role(data.get("role", Role.SERVE))}
        return cls(**{**data, **made_of, "arm": Arm.from_json(arm) if arm else None})


@dataclass(frozen=True, kw_only=True)
class Arm(Assignment):
    """A version beside the one that serves: answers a share of requests, or is asked copies.

    `share` is 0 to 1; `sticky` names what requests are told apart by (`header:X-User-Id`; empty:
    each by itself); `until_ms` is when an entry is to end it.
    """

    share: float
    sticky: str = ""
    until_ms: int = 0

    @cached_property
    def header(self) -> str:
        """The header that tells requests apart; empty if none does."""
        found = _STICKY.fullmatch(self.sticky)
        return found[1] if found else ""

    def takes(self, identity: str) -> bool:
        """Whether what is told apart by `identity` is among its share.

        By a hash of model, digest and identity alone: the same in every worker and node, and after
        any entry that leaves the arm. A larger share takes those that a smaller one took.
        """
        text = f"{self.model}\0{self.digest}\0{identity}".encode()
        place = hashlib.blake2b(text, digest_size=_PLACE_BYTES).digest()
        return int.from_bytes(place, "big") / _PLACES < self.share


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a node holds of one model. `index` is the model's place in the page.

    `refused` says why what should serve is not served here, `refused_key` which entry that was;
    empty if it is. `retired` is the entry that took the model out of Production.
    """

    index: int
    current: Assignment | None = None
    previous: Assignment | None = None
    preparing: Assignment | None = None
    refused: str = ""
    refused_key: Key | None = None
    retired: Key | None = None

    def __iter__(self) -> Iterator[Assignment]:
        """Every version that is named, those beside others too."""
        named = (a for a in (self.current, self.previous, self.preparing) if a)
        return (version for one in named for version in one.versions)

    @property
    def key(self) -> Key | None:
        """Where the model stands in its order; nothing below it is ever served again."""
        return self.current.key if self.current else self.retired


@dataclass(frozen=True)
class Assignments:
    """The folder with the files."""

    path: Path

    def read(self, index: int) -> tuple[str, Held] | None:
        """The model at `index` with what is held of it; None if there is none.

        Raises ValueError, KeyError or TypeError for a file that has not its form.
        """
        return _read(self._file(index))

    def models(self) -> dict[str, Held]:
        """Everything the node holds, by model name; a file without its form is left out."""
        models: dict[str, Held] = {}
        for file in sorted(self.path.glob("*.json")):
            try:
                found = _read(file)
            except (ValueError, KeyError, TypeError) as error:
                _log.error("%s: not an assignment, left out: %s", file, error)
                continue
            models |= dict([found] if found else [])
        return models

    def write(self, name: str, held: Held) -> None:
        """Replace a model's file; a version that serves is on the disk when this returns."""
        self.path.mkdir(parents=True, exist_ok=True)
        target = self._file(held.index)
        scratch = target.with_suffix(".new")
        try:
            with scratch.open("w", encoding="utf-8") as file:
                file.write(json.dumps({"model": name, **_raw(held)}))
                file.flush()
                if held.key:  # nobody loses anything by a model that is only expected
                    os.fsync(file.fileno())
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(target)) from error
        scratch.replace(target)
        if held.key:
            self._sync()

    def remove(self, index: int) -> None:
        """Forget the model at `index`."""
        self._file(index).unlink(missing_ok=True)
        self._sync()

    def _file(self, index: int) -> Path:
        return self.path / f"{index:05d}.json"

    def _sync(self) -> None:
        """The new name too is on the disk: after a power cut nobody goes back."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _read(file: Path) -> tuple[str, Held] | None:
    """A model's name and what is held of it; None without a file."""
    try:
        raw = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    return raw["model"], _held(raw)


def _raw(held: Held) -> dict[str, Any]:
    raw = asdict(held)
    for name in _NAMED:
        for key, nothing in _OF_ARMS.items() if raw[name] else ():
            if raw[name][key] == nothing:
                del raw[name][key]
    return raw


def _held(raw: Mapping[str, Any]) -> Held:
    def assignment(name: str) -> Assignment | None:
        return Assignment.from_json(raw[name]) if raw[name] else None

    def key(name: str) -> Key | None:
        return Key(**raw[name]) if raw[name] else None

    return Held(
        index=raw["index"],
        current=assignment("current"),
        previous=assignment("previous"),
        preparing=assignment("preparing"),
        refused=raw["refused"],
        refused_key=key("refused_key"),
        retired=key("retired"),
    )
