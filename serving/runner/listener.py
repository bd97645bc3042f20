"""The runner's socket: one thread a connection, frames in, frames out.

It appears under its name only when the version is loaded: who can connect can ask.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from registry.errors import NotFinite, SignatureMismatch, WrongShape
from registry.nudge import reachable
from serving.frames import FrameError, packed, receive, send
from serving.runner.batches import Batches

_log = logging.getLogger("serving.runner")
_BACKLOG = 128
_KINDS: Final[Mapping[type[Exception], str]] = {
    SignatureMismatch: "values",
    NotFinite: "not finite",
    WrongShape: "shape",
    TimeoutError: "late",
}


class Listener:
    """Listens at a path for as long as the process lives."""

    def __init__(self, path: Path, batches: Batches) -> None:
        """Take the path, in place of whoever listened there before."""
        self._batches = batches
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        scratch = path.with_name(f"{path.name[:8]}.{os.getpid()}")
        scratch.unlink(missing_ok=True)
        with reachable(scratch) as address:
            self._socket.bind(address)
        self._socket.listen(_BACKLOG)
        scratch.replace(path)

    def serve(self) -> None:
        """Answer whoever connects; never returns."""
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(
                target=self._converse, args=[connection], name="connection", daemon=True
            ).start()

    def _converse(self, connection: socket.socket) -> None:
        """One connection, one request after the other, until the other side ends it."""
        with connection:
            try:
                while (asked := receive(connection)) is not None:
                    send(connection, self._answer(*asked))
            except (OSError, FrameError) as error:
                _log.debug("a connection broke off: %s", error)

    def _answer(self, message: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
        """The model's answer, or which error it was."""
        try:
            deadline = time.monotonic() + float(message["seconds"])
            return packed({}, self._batches.submit(arrays, deadline=deadline).result())
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer
            return packed(_told(error), {})


def _told(error: Exception) -> dict[str, Any]:
    """An error as the worker reads it; what is not of a known kind is the model's own fault."""
    kind = next((k for known, k in _KINDS.items() if isinstance(error, known)), "fault")
    if kind == "values":
        assert isinstance(error, SignatureMismatch)
        return {"error": kind, "field": error.field, "detail": error.got}
    if kind == "fault":
        _log.error("the model failed", exc_info=error)
        return {"error": kind, "detail": f"{type(error).__name__}: {error}"}
    return {"error": kind, "detail": str(error)}
