"""The open loop in phases against servers that refuse, stall, break off, or accept unevenly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks import open_loop
from benchmarks.open_loop import Order, Phase, Sent
from benchmarks.phases import Seen

PHASES = [Phase(100.0, 0.5), Phase(0.0, 0.2), Phase(200.0, 1.0)]
Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as worker 1 on every fourth connection, as worker 0 on all others."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    special: Answer
    accepted = 0

    def setup(self) -> None:
        super().setup()
        type(self).accepted += 1
        self.worker = int(type(self).accepted % 4 == 0)

    def do_POST(self) -> None:
        type(self).special(self, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"X-Worker": str(self.worker), "Content-Length": "2", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(special: Answer) -> Iterator[int]:
    kind = type("Special", (Handler,), {"special": special, "accepted": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="server")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sent(tmp_path: Path, special: Answer, *, connections: int = 8) -> Sent:
    bodies = tmp_path / "bodies.txt"
    bodies.write_text("one\nother\n", encoding="ascii")
    with serving(special) as port:
        return open_loop.run(
            Order(
                port=port,
                path="/predict",
                bodies=str(bodies),
                connections=connections,
                workers=2,
                phases=PHASES,
                record=str(tmp_path / "rows.bin"),
            )
        )


def phase(found: Sent, number: int) -> Seen:
    return Seen.of(found.rows, number, PHASES, found.begun)


def test_every_phase_has_its_requests_at_their_times(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def answer(handler: Handler, body: bytes) -> None:
        bodies.append(body)
        handler.answer()

    found = sent(tmp_path, answer)
    assert [len(phase(found, number).accepted) for number in range(3)] == [50, 0, 200]
    for number in (0, 2):
        part = phase(found, number)
        due = sorted(part.rows["due"] - part.start)
        assert abs(due[0]) < 1e-6
        assert abs(due[-1] - (len(due) - 1) / PHASES[number].rate) < 1e-6
    assert set(bodies) == {b"one", b"other"}


def test_connections_are_spread_over_workers_that_accept_unevenly(tmp_path: Path) -> None:
    assert sent(tmp_path, lambda handler, _: handler.answer()).connections == [4, 4]


def test_a_refusal_is_told_from_an_answer_and_from_one_that_does_not_say_when(
    tmp_path: Path,
) -> None:
    count = iter(range(10_000))

    def refuse(handler: Handler, _: bytes) -> None:
        number = next(count)
        if number < 100:
            handler.answer()
        elif number % 2:
            handler.answer(503, **{"Retry-After": "1"})
        else:
            handler.answer(503)

    last = phase(sent(tmp_path, refuse), 2)
    assert len(last.shed) > 100
    assert 0.4 < last.unexplained / len(last.shed) < 0.6
    assert last.failed == 0


def test_a_stall_shows_in_what_was_due_meanwhile(tmp_path: Path) -> None:
    begun: list[float] = []
    lock = threading.Lock()

    def stall(handler: Handler, _: bytes) -> None:
        with lock:
            begun.append(time.monotonic())
            if len(begun) == 150:
                time.sleep(0.4)
        handler.answer()

    last = phase(sent(tmp_path, stall), 2)
    assert last.latency_ms(1.0) > 300
    assert (last.accepted["ended"] - last.accepted["due"] > 0.1).sum() > 40


def test_what_breaks_off_has_failed_and_the_load_goes_on(tmp_path: Path) -> None:
    count = iter(range(10_000))

    def break_off(handler: Handler, _: bytes) -> None:
        number = next(count)
        if number > 100 and number % 10 == 0:
            handler.close_connection = True
        else:
            handler.answer()

    last = phase(sent(tmp_path, break_off), 2)
    assert 10 <= last.failed <= 25
    assert len(last.accepted) + last.failed == 200


def test_what_finds_no_connection_for_a_second_is_given_up(tmp_path: Path) -> None:
    count = iter(range(10_000))

    def hang(handler: Handler, _: bytes) -> None:
        if next(count) > 60:
            time.sleep(3.0)
        handler.answer()

    last = phase(sent(tmp_path, hang, connections=4), 2)
    assert len(last.rows) == 200
    assert last.failed > 100
