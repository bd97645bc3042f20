"""How a setting is declared as a field, and how its environment variable is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, field
from pathlib import Path
from typing import Any

from registry.errors import SettingsError


def setting(default: Any, unit: str, text: str, *, env: str = "", secret: bool = False) -> Any:
    """Declare one field; `env` only where MLflow's own variable is honoured."""
    metadata = {"unit": unit, "help": text, "env": env, "secret": secret}
    return field(default=default, metadata=metadata)


def variable(declared: Field[Any]) -> str:
    """The environment variable of a field of Settings."""
    return declared.metadata["env"] or f"BATON_{declared.name.upper()}"


def text_of(layers: Iterable[Mapping[str, str]], declared: Field[Any]) -> str | None:
    """What the first of `layers` that names a setting gives it, itself or by `…_FILE`."""
    name = variable(declared)
    for values in layers:
        if values.get(name):
            return values[name]
        if declared.metadata["secret"] and (path := values.get(f"{name}_FILE")):
            return _secret(f"{name}_FILE", Path(path))
        if name in values:
            return None
    return None


def _secret(name: str, path: Path) -> str:
    """The text of a secret's file; an empty one would quietly mean the default."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: cannot read {path}: {error}") from error
    if not text:
        raise SettingsError(f"{name}: {path} is empty")
    return text


def parsed(name: str, text: str, kind: Any) -> Any:
    """Turn a variable's text into the field's type."""
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        value = kind(text)
    except ValueError as error:
        raise SettingsError(f"{name}: expected {kind.__name__}, got {text!r}") from error
    if kind in (int, float) and not 0 < value < math.inf:
        raise SettingsError(f"{name}: expected more than 0, got {text!r}")
    return value
