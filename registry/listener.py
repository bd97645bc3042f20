"""Hearing that something was appended to a ledger in PostgreSQL, on whatever machine.

The notification carries nothing and may be lost: whoever hears it looks at the ledger, and polls
besides. A ledger in sqlite has no listener; there a knock on a socket does (`nudge.py`). Used by
the watcher and the registrar, each with a connection of its own.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from registry.database import PATIENCE
from registry.ledger_tables import CHANNEL

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0
_JOIN_SECONDS = 5.0
_CONNECT = {**PATIENCE, "application_name": "baton-listener"}


class Listener:
    """Calls `heard` on a thread of its own, at each notification and after each reconnection."""

    def __init__(
        self, url: str, heard: Callable[[], None], *, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        """`url` is the ledger's; nothing is connected before `start`. `heard` must not block."""
        self._url = sa.make_url(url)
        self._heard = heard
        self._pause_seconds = pause_seconds
        self._closing = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Listen from now on; returns at once. Does nothing for sqlite."""
        if self._url.get_backend_name() == "postgresql":
            self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the thread's end; `heard` is not called after this."""
        self._closing.set()
        self._waker.send(b"!")
        if self._thread.is_alive():
            self._thread.join(timeout=_JOIN_SECONDS)
        self._waker.close()
        self._woken.close()

    def _run(self) -> None:
        import psycopg2  # noqa: PLC0415 - only where the ledger is in PostgreSQL

        while not self._closing.is_set():
            try:
                self._listen(self._connected(psycopg2))
            except (psycopg2.Error, OSError) as error:
                _log.warning("not listening to the ledger, polls go on: %s", str(error).strip())
                self._closing.wait(self._pause_seconds)

    def _connected(self, psycopg2: Any) -> Any:
        """A connection that listens."""
        address = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg2.connect(address, **_CONNECT)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return connection

    def _listen(self, connection: Any) -> None:
        """Until it breaks, which raises, or the listener is closed."""
        try:
            self._heard()  # whatever was appended while nobody listened
            while not self._closing.is_set():
                select.select([connection, self._woken], [], [])
                connection.poll()
                told = bool(connection.notifies)
                connection.notifies.clear()
                if told and not self._closing.is_set():
                    self._heard()
        finally:
            connection.close()
