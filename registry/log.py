"""Logs as one JSON object a line, with the fields a call adds: request id, model, version, seq.

They are given as `extra={…}` where the line is written. Long-running processes call `to_json()`
once at start; commands leave logging to the terminal.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One line a record: time (UTC), level, logger, message, `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`; a value JSON does not know is written as text."""
        line: dict[str, object] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
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
