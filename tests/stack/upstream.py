"""A server behind nginx that tells what it was asked, and fails as it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["", "breaks off", "refuses"]


@dataclass(frozen=True)
class Asked:
    """One request that came, whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """What came so far; `fault` is what becomes of the next ones."""

    name: str
    address: str = ""
    fault: Fault = ""
    asked: list[Asked] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[Upstream]:
        """On a free port of this machine, until the end of the block."""
        known = self

        class Handler(_Handler):
            of = known

        server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    of: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.of.asked.append(Asked(self.command, self.path, headers, body))
        if self.of.fault == "breaks off":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(503 if self.of.fault == "refuses" else 200)
        text = self.of.name.encode()
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815 - their names are HTTP's

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
