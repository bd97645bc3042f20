"""An answer as bytes of HTTP/1.1, in one piece: whoever is killed has sent all of it or nothing."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from serving.answer import Answer
from serving.lane.request import Request

_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}


def encoded(answer: Answer, request: Request | None, *, keep: bool) -> bytes:
    """The answer's bytes; a header that would end early, or is none, is left out of them."""
    lines = [_LINES.get(answer.status) or f"HTTP/1.1 {answer.status} \r\n", _date(int(time.time()))]
    for name, value in answer.headers.items():
        if "\n" not in value and "\r" not in value:
            lines.append(f"{name}: {value}\r\n")
    if "Content-Length" not in answer.headers:
        lines.append(f"Content-Length: {len(answer.body)}\r\n")
    if not keep:
        lines.append("Connection: close\r\n")
    elif request and request.version < (1, 1):
        lines.append("Connection: keep-alive\r\n")
    lines.append("\r\n")
    head = "".join(lines).encode("latin-1", "replace")
    return head if request and request.method == b"HEAD" else head + answer.body


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n"
