"""JSON as a server takes it: UTF-8, no NaN or Infinity, at most so deep; of equal keys the last."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from registry.errors import MalformedRequest

_MAX_DEPTH = 100
_MEDIA_TYPE: Final = re.compile(
    r'application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset="?utf-?8"?\s*)?', re.IGNORECASE
)


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type says JSON in UTF-8."""
    return bool(content_type and _MEDIA_TYPE.fullmatch(content_type))


def load_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; MalformedRequest for anything else."""
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        raise MalformedRequest(f"body: expected an object, got {type(parsed).__name__}")
    return parsed


def load_objects(body: bytes) -> list[Any]:
    """What a list in `body` holds, or its one object; MalformedRequest for anything else."""
    parsed = _parsed(body)
    if isinstance(parsed, dict):
        return [parsed]
    if not isinstance(parsed, list):
        raise MalformedRequest(f"body: expected an object or a list, got {type(parsed).__name__}")
    return parsed


def _parsed(body: bytes) -> Any:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"body: not JSON: {error}") from error
    if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _too_deep(parsed):
        raise MalformedRequest(f"body: nested deeper than {_MAX_DEPTH}")
    return parsed


def _too_deep(value: Any) -> bool:
    """Whether anything in `value` is nested deeper than allowed; walks level by level."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
