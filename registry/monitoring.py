"""What the prediction log keeps of each model: a file that is reviewed like code.

Applied by workers before anything is written: what is not kept never touches a disk. Retention is
the sink's. Pure, but for reading the file and the key.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Self

from registry.errors import SettingsError

_KEY_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of one model's predictions.

    `sample` is a share, 0…1. `keep` are the inputs that are kept, None for all; of those in `hash`
    a keyed hash is. `retention_days` 0 is for ever.
    """

    sample: float = 1.0
    keep: frozenset[str] | None = None
    hash: frozenset[str] = frozenset()
    retention_days: float = 0.0

    @property
    def is_private(self) -> bool:
        """Whether any input is left out or hashed."""
        return self.keep is not None or bool(self.hash)


@dataclass(frozen=True)
class Monitoring:
    """The whole file; a model without an entry is kept whole."""

    models: Mapping[str, Kept] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `path`; SettingsError says which key is not understood."""
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"BATON_MONITORING: {path} cannot be read: {error}") from error
        models = tables.pop("models", {})
        if tables or not isinstance(models, dict):
            got = ", ".join(tables) or "no table"
            raise SettingsError(f"BATON_MONITORING: {path}: expected [models.NAME], got {got}")
        return cls(
            {name: _kept(f"{path.name}: models.{name}", one) for name, one in models.items()}
        )

    def of(self, model: str) -> Kept:
        """By the model's name, else by the first pattern that fits, else everything."""
        if model in self.models:
            return self.models[model]
        fitting = (kept for name, kept in self.models.items() if fnmatchcase(model, name))
        return next(fitting, Kept())

    @property
    def hashes(self) -> bool:
        """Whether a key is needed."""
        return any(kept.hash for kept in self.models.values())


def log_key(path: Path) -> bytes:
    """The node's key for hashes, made at the first time; whoever has it can try values out.

    Give all nodes one file, and equal values have equal hashes everywhere. Raises SettingsError.
    """
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: the key of the prediction log: {error}") from error
    if len(key) < _KEY_BYTES:
        raise SettingsError(f"{path}: expected {_KEY_BYTES} random bytes at least, got {len(key)}")
    return key


def _make(path: Path) -> None:
    """Whole or not at all, and by one of those who begin at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        os.close(handle)
        scratch.unlink()


def _kept(where: str, table: Any) -> Kept:
    if not isinstance(table, dict):
        raise SettingsError(f"BATON_MONITORING: {where}: expected a table, got {table!r}")
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    sample = _number(where, "sample", own.pop("sample", 1.0), most=1.0)
    days = _number(where, "retention_days", own.pop("retention_days", 0.0))
    keep = own.pop("keep", None)
    hashed = _names(where, "hash", own.pop("hash", []))
    if own:
        known = "sample, keep, hash, retention_days"
        raise SettingsError(
            f"BATON_MONITORING: {where}: unknown key {min(own)!r}; there is: {known}"
        )
    return Kept(
        sample=sample,
        keep=None if keep is None else _names(where, "keep", keep) | hashed,
        hash=hashed,
        retention_days=days,
    )


def _number(where: str, key: str, value: Any, *, most: float = 1e6) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise SettingsError(
            f"BATON_MONITORING: {where}: {key}: expected a number from 0 to {most:g}, got {value!r}"
        )
    return float(value)


def _names(where: str, key: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise SettingsError(
            f"BATON_MONITORING: {where}: {key}: expected a list of names, got {value!r}"
        )
    return frozenset(value)
