"""Logs as one JSON object a line, each with the context it was written in.

`context(request_id=…, model=…, version=…, seq=…)` adds fields to every line written inside it.
Long-running processes call `to_json()` once at start; commands leave logging to the terminal.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_CONTEXT: ContextVar[Mapping[str, object]] = ContextVar("baton_log_context")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


@contextmanager
def context(**fields: object) -> Iterator[None]:
    """Add `fields` to every line this thread writes inside the block."""
    token = _CONTEXT.set({**_CONTEXT.get({}), **fields})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


class JsonFormatter(logging.Formatter):
    """One line a record: time (UTC), level, logger, message, context, `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`; a value JSON does not know is written as text."""
        line: dict[str, object] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_CONTEXT.get({}),
            **{k: v for k, v in record.__dict__.items() if k not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def to_json(level: str) -> None:
    """Send every log of this process to stderr as JSON lines, from `level` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
