"""The process that sends a steady load: one thread, `select`, raw sockets. Started by `load.py`.

Requests are due at fixed times, whether or not earlier ones came back; each has a number, which is
its id and its input. Nothing is retried, every request is recorded. It says on standard output
which worker answered first with which seq, and how far it is; end of standard input ends it.

One process and no threads, because the driver's work (it makes models, runs trials) must not hold
the client's interpreter; `select`, because its timeout is exact where epoll's is whole
milliseconds.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.history import PACKED
from benchmarks.reply import Incomplete, Reply
from registry.process import die_with_parent

INPUT = b"__number__"  # where a request's body has its number
_PROBE = "probe"
_GIVE_UP_SECONDS = 30.0
_TELL_SECONDS = 0.2
_REOPEN_AT_MOST = 200
_PRIORITY = 1  # real time: a client on another machine would not wait for this one's processors


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to send: `rate` a second over at most `connections`, which reach all `workers`."""

    port: int
    path: str
    body: str
    rate: float
    connections: int
    workers: int
    record: str

    def request(self, identity: str, number: int) -> bytes:
        """The bytes of one request."""
        body = self.body.encode().replace(INPUT, str(number).encode())
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {identity}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(eq=False)
class Connection:
    """One kept-alive connection, with the request it carries now."""

    port: int
    wire: socket.socket | None = None
    received: bytearray = field(default_factory=bytearray)
    number: int = -1
    due: float = 0.0
    begun: float = 0.0
    late: float = 0.0
    free_since: float = 0.0

    def connected(self) -> socket.socket:
        """The socket, connecting it first; the kernel answers for a server that stalls."""
        if self.wire is None:
            self.wire = socket.create_connection(("127.0.0.1", self.port), _GIVE_UP_SECONDS)
            self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.wire

    def close(self) -> None:
        """Forget the socket, and what came over it."""
        if self.wire:
            self.wire.close()
        self.wire = None
        self.received.clear()

    def ask(self, request: bytes) -> Reply:
        """Send and wait: for probes, before the load begins."""
        self.connected().sendall(request)
        while not (reply := self.read()):
            pass
        return reply

    def read(self) -> Reply | None:
        """Take what has come; the reply once it is whole. Raises OSError if it broke off."""
        assert self.wire
        came = self.wire.recv(65_536)
        if not came:
            raise ConnectionResetError("closed before its answer was whole")
        self.received += came
        try:
            reply = Reply.of(self.received)
        except Incomplete:
            return None
        self.received.clear()
        return reply


class Client:
    """The load, from the first request to the last answer."""

    def __init__(self, order: Order, record: IO[bytes]) -> None:
        """Open the connections; see `run`."""
        self._order = order
        self._record = record
        self._idle = deque(Connection(order.port) for _ in range(order.connections))
        self._busy: dict[socket.socket, Connection] = {}
        self._open: dict[socket.socket, Connection] = {}
        self._number = 0
        self._bad = 0
        self._newest: dict[int, int] = {}

    def run(self) -> None:
        """Send until standard input ends, then wait for what is under way."""
        with contextlib.suppress(OSError):  # a server that is away fails its requests, not the load
            self._spread()
        begun = time.monotonic() + 0.05
        self._tell("begun", begun)
        stopping, told = False, 0.0
        while self._busy or not stopping:
            now = time.monotonic()
            due = begun + self._number / self._order.rate
            while due <= now and self._idle and not stopping:
                self._send(due)
                due = begun + self._number / self._order.rate
            if now - told > _TELL_SECONDS:
                told = now
                self._give_up(now)
                self._tell("count", self._number, self._bad)
            wait = min(due, told + _TELL_SECONDS) if self._idle and not stopping else told + 1
            watched: list[Any] = [*self._open, *(() if stopping else (sys.stdin,))]
            ready, _, _ = select.select(watched, [], [], max(0.0, wait - time.monotonic()))
            for one in ready:
                if one is sys.stdin:
                    stopping = True
                elif one in self._busy:
                    self._receive(self._busy[one])
                else:
                    self._dropped(self._open[one])
        self._tell("count", self._number, self._bad)
        self._tell("ended", self._number)

    def _spread(self) -> None:
        """Open connections until every worker has a fair share of them.

        Left to chance, one of two workers sometimes gets all of them.
        """
        at: dict[Connection, int] = {}
        fair = len(self._idle) // (2 * self._order.workers) if self._order.workers else 0
        for _ in range(_REOPEN_AT_MOST):
            for connection in self._idle:
                if connection not in at:
                    at[connection] = connection.ask(self._order.request(_PROBE, 0)).worker
                    self._open[connection.connected()] = connection
            shares = Counter(at.values())
            if len(shares) >= self._order.workers and min(shares.values()) >= fair:
                return
            most = shares.most_common(1)[0][0]
            one = next(connection for connection, worker in at.items() if worker == most)
            del at[one]
            self._dropped(one)

    def _send(self, due: float) -> None:
        """Send the next request over the connection that has been idle longest."""
        connection = self._idle.popleft()
        request = self._order.request(f"r{self._number}", self._number)
        connection.number, connection.due = self._number, due
        self._number += 1
        connection.begun = time.monotonic()
        connection.late = connection.begun - max(due, connection.free_since)
        try:
            made = connection.connected()
            self._open[made] = self._busy[made] = connection
            made.sendall(request)
        except OSError:
            self._failed(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            reply = connection.read()
        except OSError:
            self._failed(connection)
            return
        if reply:
            ended = time.monotonic()
            if reply.closes:
                self._dropped(connection)
            self._done(connection, ended, reply)

    def _failed(self, connection: Connection) -> None:
        """A request whose connection broke, or that was never answered."""
        ended = time.monotonic()
        self._dropped(connection)
        self._done(connection, ended, Reply(0))

    def _dropped(self, connection: Connection) -> None:
        if connection.wire:
            self._busy.pop(connection.wire, None)
            self._open.pop(connection.wire, None)
        connection.close()

    def _done(self, connection: Connection, ended: float, reply: Reply) -> None:
        """Write it down; the connection is free."""
        number, late = connection.number, connection.late
        echoed = number if reply.identity == f"r{number}" else -1
        times = (connection.due, connection.begun, ended, late)
        said = (reply.status, reply.version, reply.seq, reply.worker, reply.answer)
        self._record.write(PACKED.pack(number, echoed, *times, *said))
        self._bad += reply.status != 200
        if reply.seq > self._newest.get(reply.worker, -1):
            self._newest[reply.worker] = reply.seq
            self._tell("seen", reply.seq, reply.version, reply.worker, ended)
        if connection.wire:
            self._busy.pop(connection.wire, None)
        connection.free_since = ended
        self._idle.append(connection)

    def _give_up(self, now: float) -> None:
        for connection in list(self._busy.values()):
            if now - connection.begun > _GIVE_UP_SECONDS:
                self._failed(connection)

    def _tell(self, *words: object) -> None:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Read the order (one line of JSON), then send."""
    die_with_parent()
    order = Order(**json.loads(sys.stdin.readline()))
    gc.disable()  # nothing here makes cycles; a collection would be a stall of ours
    with contextlib.suppress(OSError):  # only root may; without, its lateness shows in the history
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    with Path(order.record).open("wb", buffering=1 << 18) as record:
        Client(order, record).run()


if __name__ == "__main__":
    main()
