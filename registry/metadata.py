"""The small files of a version that say what it is: JSON and YAML from anywhere, read with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from registry.errors import BundleInvalid

_MAX_METADATA_BYTES = 16 * 1024 * 1024
_MAX_YAML_ALIASES = 16


def read_json(path: Path) -> Any:
    """What is in a file of JSON, None if it is not there; raises BundleInvalid."""
    text = _text(path)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleInvalid(f"{path.name}: not JSON: {error}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file of YAML, empty if it is not there; raises BundleInvalid."""
    text = _text(path)
    if text is None:
        return {}
    try:
        _refuse_bomb(text)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BundleInvalid(f"{path.name}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise BundleInvalid(f"{path.name}: expected a mapping, got {type(data).__name__}")
    return data


def _refuse_bomb(text: str) -> None:
    """Raise ValueError for YAML whose aliases of aliases unfold to more than any memory holds."""
    aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
    if aliases > _MAX_YAML_ALIASES:
        raise ValueError(f"{aliases} aliases, at most {_MAX_YAML_ALIASES} are read")


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise BundleInvalid(f"{path.name}: over {_MAX_METADATA_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleInvalid(f"{path.name}: not UTF-8 text") from error
