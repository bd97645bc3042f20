"""An HTTP/1.1 answer as the load client needs it: status, Baton's headers, one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import orjson

_END = b"\r\n\r\n"


class Incomplete(Exception):
    """More bytes are to come."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Status 0: nothing did. -1 and NaN: not said."""

    status: int
    identity: str = ""
    version: int = -1
    seq: int = -1
    worker: int = -1
    answer: float = math.nan
    closes: bool = False

    @classmethod
    def of(cls, received: bytes | bytearray) -> Self:
        """Read a whole answer; raises Incomplete. A body without a length counts as broken."""
        head, found, body = received.partition(_END)
        if not found:
            raise Incomplete
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (ln.partition(":") for ln in lines)
        }
        length = headers.get("content-length", "")
        if not length.isdigit():
            return cls(0, closes=True)
        if len(body) < int(length):
            raise Incomplete
        return cls(
            int(first.split(" ")[1]),
            headers.get("x-request-id", ""),
            _whole(headers.get("x-model-version")),
            _whole(headers.get("x-model-seq")),
            _whole(headers.get("x-worker")),
            _number(bytes(body)),
            headers.get("connection", "").lower() == "close",
        )


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdigit() else -1


def _number(body: bytes) -> float:
    """The one prediction in a body; NaN if there is none, or more."""
    try:
        [[answer]] = orjson.loads(body)["predictions"]
        return float(answer)
    except (ValueError, TypeError, KeyError):
        return math.nan
