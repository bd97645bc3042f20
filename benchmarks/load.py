"""A steady open-loop load on one node of this machine, as its driver sees it.

The sending is done by a process of its own (`client.py`); this starts it, hears from it which
worker answered first with which seq, and hands over the recorded history. Used by the demo, the
benchmarks and the tests.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.client import INPUT, Order
from benchmarks.history import Rows

_ROOT = Path(__file__).resolve().parents[1]
_END_SECONDS = 60.0
_LOOK_SECONDS = 0.05
ONE_COLUMN = f'{{"instances": [[{INPUT.decode()}]]}}'


class LoadFailed(Exception):
    """The client did not begin, or did not end."""


@dataclass(frozen=True)
class First:
    """The first answer of a worker with a seq, and when it had been read."""

    seq: int
    version: int
    worker: int
    ended: float


@dataclass
class Load:
    """`rate` requests a second; `record` is the file that gets a row for each.

    `workers` is how many workers the connections must reach; 0 leaves it to chance.
    """

    port: int
    path: str
    rate: float
    record: Path
    body: str = ONE_COLUMN
    connections: int = 16
    workers: int = 2
    count: int = 0
    bad: int = 0
    firsts: list[First] = field(default_factory=list)
    _begun: threading.Event = field(default_factory=threading.Event)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Send until the block ends; every request that was begun is then in the history."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        client = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ear = threading.Thread(target=self._listen, args=(client.stdout,), name="load")
        try:
            assert client.stdin
            client.stdin.write(json.dumps(dataclasses.asdict(self._order())) + "\n")
            client.stdin.flush()
            ear.start()
            if not self._begun.wait(_END_SECONDS):
                raise LoadFailed(f"the client did not begin to ask {self.path}")
            yield self
            client.stdin.close()
            if client.wait(_END_SECONDS) != 0:
                raise LoadFailed(f"the client ended with exit {client.returncode}")
        finally:
            client.kill()
            client.wait()
            ear.join(_END_SECONDS)

    @property
    def newest(self) -> First:
        """The newest seq that any worker was seen with."""
        return max(self.firsts, key=lambda one: one.seq)

    def first(self, seq: int) -> float | None:
        """When the first answer with at least this seq had come; None: not yet."""
        return min((one.ended for one in self.firsts if one.seq >= seq), default=None)

    def every(self, seq: int) -> float | None:
        """When the last worker had answered with at least this seq; None: not all have."""
        reached: dict[int, float] = {}
        for one in self.firsts:
            if one.seq >= seq:
                reached[one.worker] = min(one.ended, reached.get(one.worker, one.ended))
        return max(reached.values()) if len(reached) >= max(1, self.workers) else None

    def until(self, done: Callable[[], Any], what: str, *, seconds: float = 60.0) -> Any:
        """Wait for something to become true while the load runs; returns it."""
        deadline = time.monotonic() + seconds
        while not (found := done()):
            if time.monotonic() > deadline:
                raise LoadFailed(f"{what}: not within {seconds:g} s")
            with self._news:
                self._news.wait(_LOOK_SECONDS)
        return found

    def until_every(self, seq: int, *, seconds: float = 60.0) -> float:
        """Wait until every worker has answered with at least `seq`; returns when the last did."""
        what = f"every worker answers with seq {seq}"
        return float(self.until(lambda: self.every(seq), what, seconds=seconds))

    @property
    def ids(self) -> list[str]:
        """The ids of all requests that were begun."""
        return [f"r{number}" for number in range(self.count)]

    def rows(self) -> Rows:
        """The recorded history, once the load has ended."""
        return history.read(self.record)

    def _order(self) -> Order:
        return Order(
            port=self.port,
            path=self.path,
            body=self.body,
            rate=self.rate,
            connections=self.connections,
            workers=self.workers,
            record=str(self.record.resolve()),
        )

    def _listen(self, lines: Any) -> None:
        for line in lines:
            word, *rest = line.split()
            if word == "seen":
                seq, version, worker, ended = rest
                self.firsts.append(First(int(seq), int(version), int(worker), float(ended)))
            elif word == "count":
                self.count, self.bad = int(rest[0]), int(rest[1])
            elif word == "begun":
                self._begun.set()
            with self._news:
                self._news.notify_all()
