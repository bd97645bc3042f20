"""What S3 and MLflow's proxy have in common: ranges, and an answer read as its bytes arrive."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

from registry.errors import Unreachable
from serving.node.sources.source import PIECE_BYTES, Opened, Pieces

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def range_of(start: int) -> str:
    """The value of a header `Range` for everything from `start` on."""
    return f"bytes={start}-"


def opened(
    address: str, body: AbstractContextManager[Any], *, content_range: str, length: str
) -> Opened:
    """An answer whose head has come, with these two headers or none; entering `body` is urllib3's.

    boto3's own reader would wait for whole pieces; what it stands on is what it enters.
    """
    found = _CONTENT_RANGE.fullmatch(content_range)
    start, size = (int(found[1]), int(found[2])) if found else (0, None)
    if not found and length.isdigit():
        size = int(length)
    return Opened(start, size, _pieces(address, body))


def _pieces(address: str, body: AbstractContextManager[Any]) -> Pieces:
    """Each piece as soon as it is there: a slow store's bytes are kept when time is up."""
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - no worker imports it

    try:
        with body as response:
            while piece := response.read1(PIECE_BYTES, decode_content=False):
                yield piece
    except (HTTPError, OSError) as error:
        raise Unreachable(f"{address}: broke off: {error}") from error
