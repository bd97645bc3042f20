"""The process that sends an open loop in phases: one thread, epoll, raw sockets.

Started by `open_loop.py`; at real-time priority where it may, about 30 µs of CPU a request. Nothing
is retried. A request that finds every connection busy for a second is given up, and has failed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.open_loop import GIVEN_UP, ROW, Order, Phase
from registry.process import die_with_parent

_GIVE_UP_SECONDS = 1.0
_ANSWER_SECONDS = 30.0
_PRIORITY = 1
_ATTEMPTS_EACH = 8
_END = b"\r\n\r\n"


class Wire:
    """One kept-alive connection and the request it carries."""

    __slots__ = ("begun", "due", "phase", "port", "received", "socket", "worker")

    def __init__(self, port: int) -> None:
        """Connect."""
        self.port = port
        self.phase = 0
        self.due = self.begun = 0.0
        self.worker = -1
        self.connect()

    def connect(self) -> None:
        """Begin anew; the kernel answers for a server that stalls."""
        self.received = b""
        self.socket = socket.create_connection(("127.0.0.1", self.port), _ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def take(self) -> tuple[int, bool, bool] | None:
        """What has come: status, whether it has Retry-After, whether it closes; None if not yet."""
        came = self.socket.recv(65_536)
        if not came:
            raise ConnectionResetError("closed before its answer was whole")
        self.received += came
        found = answered(self.received)
        if found:
            self.received = b""
        return found


def answered(received: bytes) -> tuple[int, bool, bool] | None:
    """Status, Retry-After, Connection: close of a whole answer; None if more is to come."""
    end = received.find(_END)
    if end < 0:
        return None
    head = received[: end + 2].lower()
    length = head.find(b"\r\ncontent-length:")
    if length < 0:
        raise ConnectionResetError("an answer without a length")
    size = int(head[length + 17 : head.index(b"\r\n", length + 2)])
    if len(received) < end + 4 + size:
        return None
    return int(head[9:12]), b"\r\nretry-after:" in head, b"\r\nconnection: close" in head


class Client:
    """The load, from the first request to the last answer."""

    def __init__(self, order: Order) -> None:
        """Open the connections; see `run`."""
        self._requests = requests(order)
        self._epoll = select.epoll()
        self._wires: dict[int, Wire] = {}
        self._rows: list[tuple[int, int, bool, float, float, float]] = []
        self._number = 0
        self._busy = 0
        wires = _spread(order, self._requests[0])
        self.connections = sorted(Counter(wire.worker for wire in wires).values(), reverse=True)
        for wire in wires:
            self._watch(wire)
        self._idle = deque(wires)

    def run(self, phases: Sequence[Phase]) -> float:
        """Send all phases, then wait for what is under way; returns when the first one began."""
        begun = start = time.monotonic() + 0.05
        for number, phase in enumerate(phases):
            self._phase(number, phase, start)
            start += phase.seconds
        last = time.monotonic() + _ANSWER_SECONDS
        while self._busy and time.monotonic() < last:
            self._receive(0.1)
        for wire in self._wires.values():
            if wire not in self._idle:
                self._rows.append((wire.phase, 0, False, wire.due, wire.begun, time.monotonic()))
        return begun

    def rows(self) -> Any:
        """What was seen, a row a request."""
        return np.array(self._rows, dtype=ROW)

    def _phase(self, number: int, phase: Phase, start: float) -> None:
        count = int(phase.rate * phase.seconds)
        sent = 0
        while (now := time.monotonic()) < start + phase.seconds or sent < count:
            due = start + (sent / phase.rate if sent < count else phase.seconds)
            if sent < count and due <= now:
                if self._idle:
                    self._send(number, due)
                    sent += 1
                    continue
                if now - due > _GIVE_UP_SECONDS:
                    self._rows.append((number, GIVEN_UP, False, due, now, now))
                    sent += 1
                    continue
            self._receive(max(0.0, due - now) if due > now else 0.01)

    def _send(self, phase: int, due: float) -> None:
        wire = self._idle.popleft()
        wire.phase, wire.due, wire.begun = phase, due, time.monotonic()
        self._number += 1
        self._busy += 1
        try:
            wire.socket.sendall(self._requests[self._number % len(self._requests)])
        except OSError:
            self._broke(wire)

    def _receive(self, seconds: float) -> None:
        """Take what comes; `select` on the epoll is exact where epoll's own wait is whole ms."""
        select.select([self._epoll], [], [], seconds)
        for descriptor, _ in self._epoll.poll(0):
            wire = self._wires[descriptor]
            try:
                found = wire.take()
            except (OSError, ValueError):
                self._broke(wire)
                continue
            if found:
                status, retry, closes = found
                self._done(wire, status, retry=retry)
                if closes:
                    self._again(wire)

    def _broke(self, wire: Wire) -> None:
        if wire not in self._idle:
            self._done(wire, 0, retry=False)
        self._again(wire)

    def _done(self, wire: Wire, status: int, *, retry: bool) -> None:
        self._rows.append((wire.phase, status, retry, wire.due, wire.begun, time.monotonic()))
        self._busy -= 1
        self._idle.append(wire)

    def _again(self, wire: Wire) -> None:
        del self._wires[wire.socket.fileno()]
        self._epoll.unregister(wire.socket)
        wire.socket.close()
        wire.connect()
        self._watch(wire)

    def _watch(self, wire: Wire) -> None:
        self._wires[wire.socket.fileno()] = wire
        self._epoll.register(wire.socket, select.EPOLLIN)


def requests(order: Order) -> list[bytes]:
    """The bytes of every request, ready to be sent."""
    made = []
    for body in Path(order.bodies).read_bytes().splitlines():
        head = (
            f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def _spread(order: Order, probe: bytes) -> list[Wire]:
    """Connections, equally many of them at each worker; whatever comes if they do not say."""
    fair = order.connections // order.workers
    held: list[Wire] = []
    at: Counter[int] = Counter()
    attempts = _ATTEMPTS_EACH * order.connections
    while len(held) < order.connections:
        wire = Wire(order.port)
        wire.worker = _worker(wire, probe)
        attempts -= 1
        if attempts > 0 and (wire.worker < 0 or at[wire.worker] >= fair):
            wire.socket.close()  # at once: a server may have enough of open ones
        else:
            held.append(wire)
            at[wire.worker] += 1
    return held


def _worker(wire: Wire, probe: bytes) -> int:
    """The slot that answers on a connection; -1 if it does not say."""
    wire.socket.sendall(probe)
    received = b""
    while not answered(received):
        came = wire.socket.recv(65_536)
        if not came:
            raise ConnectionResetError("closed before its answer was whole")
        received += came
    head = received.partition(_END)[0].lower() + b"\r\n"
    _, _, behind = head.partition(b"\r\nx-worker:")
    text = behind.partition(b"\r\n")[0].strip()
    return int(text) if text.isdigit() else -1


def main() -> None:
    """Read the order (standard input), send, tell on standard output."""
    die_with_parent()
    order = Order.read(sys.stdin.read())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.disable()  # nothing here makes cycles; a collection would be a stall of ours
    client = Client(order)
    with contextlib.suppress(OSError):  # only root may
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    before = time.process_time()
    begun = client.run(order.phases)
    spent = time.process_time() - before
    client.rows().tofile(order.record)
    told = {"begun": begun, "connections": client.connections, "cpu_seconds": spent}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
