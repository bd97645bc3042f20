"""The small files of a version that say what it is: JSON and YAML from anywhere, read with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.errors import BundleInvalid
from registry.plain_yaml import mapping_of

_MAX_METADATA_BYTES = 16 * 1024 * 1024


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
        return mapping_of(text)
    except ValueError as error:
        raise BundleInvalid(f"{path.name}: {error}") from error


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise BundleInvalid(f"{path.name}: over {_MAX_METADATA_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleInvalid(f"{path.name}: not UTF-8 text") from error
