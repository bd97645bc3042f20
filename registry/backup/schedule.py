"""Backups again and again, and how that goes: in the log, and as metrics on a port of their own.

The metrics are few and written by hand: the registry's commands do without prometheus_client.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from registry.backup.place import Backup, Place
from registry.errors import BatonError, UsageError

_log = logging.getLogger(__name__)
RETRY_SECONDS: Final = 600.0
METRICS: Final = {
    "baton_backup_last_success_timestamp_seconds": "gauge",
    "baton_backup_last_seconds": "gauge",
    "baton_backup_last_bytes": "gauge",
    "baton_backup_failures_total": "counter",
}


@dataclass
class Tally:
    """How it went so far; what was made before this process is read from the place."""

    last_success: float = 0.0
    last_seconds: float = 0.0
    last_bytes: int = 0
    failures: int = 0

    def look(self, place: Place) -> None:
        """Go on from the newest sound backup."""
        for backup in place.backups():
            if backup.is_sound:
                self.made(backup)
                return

    def made(self, backup: Backup) -> None:
        """A sound one was made."""
        body = backup.body
        self.last_success = datetime.datetime.fromisoformat(body["made_at"]).timestamp()
        self.last_seconds = body["seconds"]
        self.last_bytes = body["artifacts"]["bytes"] + sum(
            part["size"] for part in body["parts"].values()
        )

    def text(self) -> str:
        """As Prometheus reads it."""
        values = (self.last_success, self.last_seconds, self.last_bytes, self.failures)
        lines = [
            f"# TYPE {name} {kind}\n{name} {value}\n"
            for (name, kind), value in zip(METRICS.items(), values, strict=True)
        ]
        return "".join(lines)


@dataclass
class Schedule:
    """Makes a backup every `seconds`; after one that failed sooner, if that is long."""

    seconds: float
    make: Callable[[], Backup]
    tally: Tally
    clock: Callable[[], float] = time.time

    def run(self, stop: threading.Event) -> None:
        """Until stopped. The first one is due when the newest there is has grown old."""
        due = self.tally.last_success + self.seconds
        while not stop.wait(max(0.0, min(due - self.clock(), self.seconds))):
            due = self.clock() + (
                self.seconds if self._once() else min(self.seconds, RETRY_SECONDS)
            )

    def _once(self) -> bool:
        try:
            backup = self.make()
        except BatonError as error:
            _log.error("no backup was made: %s", error)
            self.tally.failures += 1
            return False
        if not backup.is_sound:
            for problem in backup.body["problems"]:
                _log.error("backup %s: %s", backup.id, problem)
            self.tally.failures += 1
            return True
        self.tally.made(backup)
        _log.info("backup %s: %.1f s", backup.id, backup.body["seconds"])
        return True


@contextmanager
def telling(tally: Tally, address: str) -> Iterator[None]:
    """Answer `GET /metrics` at `host:port` meanwhile; nothing if it is empty."""
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise UsageError(f"--listen: expected host:port, got {address!r}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/metrics"
            body = tally.text().encode() if found else b"only /metrics is here\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not logged."""

    try:
        server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Handler)
    except OSError as error:
        raise UsageError(f"--listen: {address}: {error.strerror}; name another port") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
