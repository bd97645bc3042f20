"""A small HTTP server of artifacts, as MLflow's proxy or S3 would be on a bad day.

It answers GET for any path by what comes after its last `/artifacts/`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class ArtifactServer:
    """Its files, its faults, and what it was asked."""

    files: dict[str, bytes]
    address: str = ""
    status: int | None = None
    location: str = ""
    bytes_per_second: int | None = None
    breaks_after: int | None = None  # bytes of one answer
    stays_silent: bool = False
    stays_silent_after: int | None = None  # bytes of one answer
    has_ranges: bool = True
    says_length: bool = True
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def ranges(self) -> list[str | None]:
        """The header `Range` of each request."""
        return [headers.get("range") for _, headers in self.asked]

    @contextmanager
    def running(self) -> Iterator[ArtifactServer]:
        """On a free port of this machine, until the end of the context."""
        known = self

        class Handler(_Handler):
            of = known

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    of: ArtifactServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at `asked`."""

    def do_GET(self) -> None:
        of = self.of
        of.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        if of.stays_silent:
            of.over.wait()
            return
        content = of.files.get(unquote(self.path.partition("?")[0]).rpartition("/artifacts/")[2])
        if of.status or content is None:
            self._short(of.status or 404)
            return
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and of.has_ranges else 0
        if start >= len(content) > 0:
            self._short(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if of.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.close_connection = True
        self.end_headers()
        with suppress(OSError):  # whoever asked may have had enough
            self._body(content[start:])

    def _short(self, status: int) -> None:
        self.send_response(status)
        if self.of.location:
            self.send_header("Location", self.of.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self, content: bytes) -> None:
        of = self.of
        limits = [n for n in (of.breaks_after, of.stays_silent_after) if n is not None]
        content = content[: min(limits, default=len(content))]
        piece = max(1, of.bytes_per_second // 10) if of.bytes_per_second else 65536
        for begin in range(0, len(content), piece):
            self.wfile.write(content[begin : begin + piece])
            if of.bytes_per_second:
                time.sleep(0.1)
        if of.stays_silent_after is not None:
            of.over.wait()
