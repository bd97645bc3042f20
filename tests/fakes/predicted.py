"""Prediction records by number, and a checker of what a log holds of them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from registry.predictions import Prediction

NOON = 1_769_688_000.0  # 2026-01-29 12:00 UTC


def made(number: int, **changed: Any) -> Prediction:
    """Record number `number`, a second after the one before; the same one each time."""
    record: dict[str, Any] = {
        "prediction_id": str(uuid.UUID(int=number)),
        "request_id": f"request-{number}",
        "time": NOON + number,
        "model": "iris",
        "version": "3",
        "epoch": 1,
        "seq": 7,
        "digest": "d" * 64,
        "endpoint": "baton",
        "method": "POST",
        "key_id": "shop",
        "status": 200,
        "latency_ms": 1.5,
        "rows": 2,
        "inputs": {"sepal length": [5.1, None], "colour": ["red\t\\N", "blau, grün\n"]},
        "outputs": {"class": ["setosa", "virginica"], "probability": [0.75, 0.5]},
        "confidence": 0.625,
    }
    return Prediction(**(record | changed))


def some(count: int, *, first: int = 0) -> list[Prediction]:
    """`count` records by number."""
    return [made(number) for number in range(first, first + count)]


def faults(sent: Iterable[Prediction], kept: Sequence[Prediction]) -> list[str]:
    """What of `sent` is not in `kept` exactly once and as it was sent, and what nobody sent."""
    wanted = {one.prediction_id: one for one in sent}
    times = Counter(one.prediction_id for one in kept)
    found = [f"{id_}: {times[id_]} times" for id_ in wanted if times[id_] != 1]
    found += [f"{id_}: nobody sent it" for id_ in times if id_ not in wanted]
    changed = (one for one in kept if wanted.get(one.prediction_id, one) != one)
    return found + [f"{one.prediction_id}: is not what was sent" for one in changed]
