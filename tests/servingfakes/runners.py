"""Runners without a process: the real model, batches, socket and engine, in threads of the test."""

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.bundle import Bundle
from registry.rowwise import Run
from serving.engines.runner import RunnerEngine
from serving.runner.batches import Batches
from serving.runner.listener import Listener


def beside(bundle: Bundle) -> RunnerEngine:
    """A version loaded in this process and asked over a socket, as a worker asks."""
    from serving.runner.model import PyfuncModel  # noqa: PLC0415 - imports MLflow

    model = PyfuncModel.load(bundle)
    return RunnerEngine(bundle, listening(model.run), seconds=10)


def listening(run: Run, *, most_rows: int = 1000) -> Path:
    """The socket of a runner whose model is `run`."""
    path = _short()
    batches = Batches(run, most_rows=most_rows)
    listener = Listener(path, batches)
    for target in (batches.serve, listener.serve):
        threading.Thread(target=target, daemon=True).start()
    return path


def misbehaving(converse: Callable[[socket.socket], Any]) -> Path:
    """A socket where each connection is given to `converse`, and then closed."""
    path = _short()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                converse(connection)

    threading.Thread(target=serve, daemon=True).start()
    return path


def _short() -> Path:
    """A path that fits a socket's address, as pytest's temporary folders may not."""
    folder = tempfile.mkdtemp(prefix="baton-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "r.sock"
