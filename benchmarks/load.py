"""A steady open-loop load: requests are due at fixed times, whether or not earlier ones came back.

Latency counts from when a request was due, so a server that stalls cannot hide it. Every request is
recorded; nothing is retried. Goes to this machine only.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_TIMEOUT_SECONDS = 30
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Sample:
    """One request; times in seconds of `time.monotonic()`. Status 0 is a broken connection."""

    due: float
    begun: float
    ended: float
    status: int
    version: str = ""
    seq: int = 0
    worker: str = ""

    @property
    def latency_ms(self) -> float:
        """From when it was due until its answer was read."""
        return (self.ended - self.due) * 1000


@dataclass
class OpenLoop:
    """`rate` requests a second over at most `connections` kept-alive connections."""

    port: int
    path: str
    body: bytes
    rate: float
    connections: int = 16
    samples: list[Sample] = field(default_factory=list)

    @contextmanager
    def running(self, *, at_most_seconds: float) -> Iterator[OpenLoop]:
        """Send until the block ends, or for `at_most_seconds`."""
        stop = threading.Event()
        ticket, begun = itertools.count(), time.monotonic() + 0.1
        last = int(at_most_seconds * self.rate)
        threads = [
            threading.Thread(target=self._send, args=(ticket, begun, last, stop), daemon=True)
            for _ in range(self.connections)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join(timeout=_TIMEOUT_SECONDS)

    def _send(self, ticket: Iterator[int], begun: float, last: int, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        for number in ticket:
            due = begun + number / self.rate
            if number > last or stop.wait(max(0.0, due - time.monotonic())):
                break
            self.samples.append(self._one(connection, due))
        connection.close()

    def _one(self, connection: http.client.HTTPConnection, due: float) -> Sample:
        sent = time.monotonic()
        try:
            connection.request("POST", self.path, self.body, _JSON)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return Sample(due, sent, time.monotonic(), 0)
        return Sample(
            due,
            sent,
            time.monotonic(),
            response.status,
            response.headers.get("X-Model-Version", ""),
            int(response.headers.get("X-Model-Seq") or 0),
            response.headers.get("X-Worker", ""),
        )


def percentile(samples: Sequence[Sample], share: float) -> float:
    """The latency in ms that `share` (0 to 1) of the samples do not exceed; NaN without samples."""
    ranked = sorted(sample.latency_ms for sample in samples)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


def went_back(samples: Sequence[Sample]) -> int:
    """How many requests got a lower `seq` than one that had ended before they began."""
    by_end = sorted((s.ended, s.seq) for s in samples if s.status)
    highest, seen, count = 0, 0, 0
    for sample in sorted((s for s in samples if s.status), key=lambda s: s.begun):
        while seen < len(by_end) and by_end[seen][0] < sample.begun:
            highest = max(highest, by_end[seen][1])
            seen += 1
        count += sample.seq < highest
    return count
