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
    fields = [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
    said = "".join(fields)
    if not said.count("\n") == said.count("\r") == len(fields):
        said = "".join(one for one in fields if one.count("\n") == one.count("\r") == 1)
    first = _LINES.get(answer.status) or f"HTTP/1.1 {answer.status} \r\n"
    lines = [first, _date(int(time.time())), said]
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
