"""A steady open-loop load whose every request is written down, each with an input of its own.

Requests are due at fixed times, whether or not earlier ones came back. Nothing is retried.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.integration.checker import Observation

_TIMEOUT_SECONDS = 30


@dataclass
class Load:
    """`rate` requests a second to a model of one column, over kept-alive connections."""

    port: int
    path: str
    rate: float
    connections: int = 8
    history: list[Observation] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Send until the block ends; every request that was begun is then in the history."""
        stop = threading.Event()
        ticket, begun = itertools.count(), time.monotonic()
        threads = [
            threading.Thread(target=self._send, args=(ticket, begun, stop), name="load")
            for _ in range(self.connections)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join(_TIMEOUT_SECONDS)

    def _send(self, ticket: Iterator[int], begun: float, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        for number in ticket:
            if stop.wait(max(0.0, begun + number / self.rate - time.monotonic())):
                break
            self.ids.append(f"r{number}")
            self.history.append(self._one(connection, f"r{number}", float(number)))
        connection.close()

    def _one(self, connection: http.client.HTTPConnection, identity: str, x: float) -> Observation:
        headers = {"Content-Type": "application/json", "X-Request-Id": identity}
        begun = time.monotonic()
        try:
            connection.request("POST", self.path, json.dumps({"instances": [[x]]}), headers)
            response = connection.getresponse()
            body: Any = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            return Observation(
                id=identity, begun=begun, ended=time.monotonic(), status=0, request=x
            )
        return Observation(
            id=response.headers["X-Request-Id"],
            begun=begun,
            ended=time.monotonic(),
            status=response.status,
            version=response.headers.get("X-Model-Version", ""),
            seq=int(response.headers.get("X-Model-Seq", 0)),
            request=x,
            answer=body.get("predictions"),
        )
