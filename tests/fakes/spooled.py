"""Records as workers write them, by number."""

from __future__ import annotations

import uuid
from typing import Any

import orjson


def record(number: int, **changed: Any) -> bytes:
    """Record number `number`; the same one each time."""
    made: dict[str, Any] = {
        "prediction_id": identity(number),
        "request_id": f"r{number}",
        "attempt_of": "",
        "time": 1_769_688_000.0 + number,
        "model": "iris",
        "version": "1",
        "epoch": 1,
        "seq": 1,
        "digest": "d",
        "arm": "serve",
        "endpoint": "baton",
        "method": "POST",
        "key_id": "",
        "status": 200,
        "error": "",
        "latency_ms": 1.0,
        "rows": 1,
        "inputs": {"x": [float(number)]},
        "outputs": {"y": [2.0 * number]},
        "confidence": None,
    }
    return orjson.dumps(made | changed)


def identity(number: int) -> str:
    """Its prediction_id."""
    return str(uuid.UUID(int=number))


def identities(count: int) -> list[str]:
    """Those of the first ones."""
    return [identity(number) for number in range(count)]
