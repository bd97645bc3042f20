"""API keys: one file of a node, written by `python -m serving keys`, read by its workers.

A key is `baton_<id>_<secret>`; the file has the secret's SHA-256 only (of 256 random bits: there is
nothing to guess that a slow hash would protect). A revoked key stays in the file, so that a server
whose last key was revoked is closed, not open.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from registry.errors import SettingsError, UnknownName

_KEY: Final = re.compile(r"baton_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a key may do."""

    PREDICT = "predict"
    TRAIN = "train"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key, without its secret. `per_second` requests are let through, 0 is all of them."""

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    per_second: float = 0.0
    created: str = ""
    revoked: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read one of the file."""
        return cls(**{**data, "scopes": tuple(Scope(one) for one in data["scopes"])})

    @property
    def made(self) -> float | None:
        """When it was made, in seconds since 1970; None where the file does not say."""
        try:
            moment = datetime.datetime.fromisoformat(self.created)
        except (TypeError, ValueError):
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()

    def is_proved_by(self, secret: str) -> bool:
        """Whether this is its secret; takes as long for a wrong one."""
        return hmac.compare_digest(self.sha256, _sha256(secret))


@dataclass(frozen=True)
class KeyFile:
    """The file. Its order is that in which keys were made, and never changes."""

    path: Path

    def read(self) -> Sequence[Key]:
        """All keys, revoked ones too; none if there is no file. Raises SettingsError."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return tuple(Key.from_json(one) for one in found["keys"])
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{self.path}: expected a file of API keys: {error!r}") from error

    def add(self, name: str, scopes: Sequence[Scope], *, per_second: float = 0.0) -> str:
        """Make a key; returns it whole, which nobody can do again."""
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        made = Key(
            id=identity,
            name=name,
            sha256=_sha256(secret),
            scopes=tuple(scopes),
            per_second=per_second,
            created=_now(),
        )
        self._write([*self.read(), made])
        return f"baton_{identity}_{secret}"

    def revoke(self, identity: str) -> Key:
        """End a key by its id. Raises UnknownName."""
        keys = {key.id: key for key in self.read()}
        if identity not in keys:
            raise UnknownName("key", identity, keys)
        if not keys[identity].revoked:
            keys[identity] = replace(keys[identity], revoked=_now())
            self._write(list(keys.values()))
        return keys[identity]

    def _write(self, keys: Sequence[Key]) -> None:
        """Whole or not at all, and for this user only."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"keys": [asdict(key) for key in keys]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        made.replace(self.path)


def parts_of(text: str) -> tuple[str, str] | None:
    """Id and secret of a whole key; None if it is none."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
