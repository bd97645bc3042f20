"""One client's connection to the lane: where requests begin and end, and what is bounded."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from registry.errors import BatonError
from serving.answer import Answer
from serving.lane.connection import Connection
from serving.lane.reply import encoded
from serving.lane.request import Request

MOST = 1000
OK = Answer(200, {"X": "y"}, b"{}")
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport:
    """What asyncio hands a connection; keeps what was written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.closed = self.aborted = self.ended = False

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.written)]


class Handler:
    """Answers all requests at once, or none of them; remembers what it was asked."""

    def __init__(self, *, later: bool = False) -> None:
        self.max_body_bytes = MOST
        self.stopping = False
        self.later = later
        self.taken: list[tuple[bytes, bytes, bytes]] = []
        self.refused: list[tuple[str, int]] = []
        self.room = True

    def take(self, _connection: Connection, request: Request) -> Answer | None:
        self.taken.append((request.method, request.target, request.body))
        return None if self.later else OK

    def refuse(self, error: BatonError, _request: Request | None, status: int) -> Answer:
        self.refused.append((str(error), status))
        return Answer(status, {}, b"")

    def lasts(self, _connection: Connection) -> bool:
        return not self.stopping

    def opened(self, _connection: Connection) -> bool:
        return self.room

    def closed(self, _connection: Connection) -> None:
        self.gone = True


class Client:
    """A connection between the two."""

    def __init__(self, **handler: Any) -> None:
        self.handler = Handler(**handler)
        self.transport = Transport()
        self.connection = Connection(self.handler)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def send(self, data: bytes) -> None:
        if self.transport.reading and not self.transport.closed:
            self.connection.data_received(data)

    def later(self, seconds: float) -> None:
        self.connection.look(time.monotonic() + seconds)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def patient() -> Client:
    """Its requests are answered when the test says so."""
    return Client(later=True)


@pytest.mark.parametrize("sent", [POST % (5, b"hello"), CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"])
def test_a_request_may_come_in_any_pieces(client: Client, sent: bytes) -> None:
    for byte in sent:
        client.send(bytes([byte]))
    client.send(sent)
    assert client.handler.taken == [(b"POST", b"/predict", b"hello")] * 2
    assert client.transport.statuses == [200, 200]
    assert not client.transport.closed


def test_requests_sent_without_waiting_are_answered_in_their_order(client: Client) -> None:
    client.send(b"".join(POST % (1, b"%d" % n) for n in range(5)) + GET[:10])
    assert [body for _, _, body in client.handler.taken] == [b"0", b"1", b"2", b"3", b"4"]
    client.send(GET[10:])
    assert client.transport.statuses == [200] * 6


def test_behind_an_answer_that_takes_time_the_next_ones_wait(patient: Client) -> None:
    patient.send(POST % (1, b"a") + POST % (1, b"b") + POST % (1, b"c"))
    for number in range(1, 4):
        assert len(patient.handler.taken) == number
        patient.connection.answer(OK)
    assert [body for _, _, body in patient.handler.taken] == [b"a", b"b", b"c"]


def test_of_what_comes_before_an_answer_only_one_piece_is_taken_in(patient: Client) -> None:
    patient.send(POST % (1, b"a"))
    assert patient.transport.reading, "who goes is noticed"
    second = POST % (1, b"b")
    patient.send(second[:20])
    assert not patient.transport.reading
    assert len(patient.handler.taken) == 1
    patient.connection.answer(OK)
    assert patient.transport.reading
    patient.send(second[20:])
    patient.connection.answer(OK)
    assert [body for _, _, body in patient.handler.taken] == [b"a", b"b"]
    assert patient.transport.statuses == [200, 200]


@pytest.mark.parametrize(
    ("behind", "statuses"),
    [(b"", [200]), (POST % (1, b"b"), [200, 200]), (POST % (9, b"b"), [200, 400])],
    ids=["nothing", "a whole request", "half a request"],
)
def test_who_says_that_nothing_more_comes_is_answered_what_came_and_let_go(
    patient: Client, behind: bytes, statuses: list[int]
) -> None:
    patient.send(POST % (1, b"a"))
    if behind:
        patient.send(behind)
    assert patient.connection.eof_received(), "an answer is still owed"
    patient.connection.answer(OK)
    if statuses == [200, 200]:
        assert not patient.transport.closed
        patient.connection.answer(OK)
    assert patient.transport.statuses == statuses
    assert patient.transport.closed


def test_a_client_that_does_not_read_is_not_read_either(client: Client) -> None:
    client.connection.pause_writing()
    client.connection.data_received(GET + GET)  # was on its way already
    assert (client.handler.taken, client.transport.reading) == ([], False)
    client.connection.resume_writing()
    assert (len(client.handler.taken), client.transport.reading) == (2, True)
    client.connection.pause_writing()
    client.later(61)
    assert client.transport.aborted


@pytest.mark.parametrize(
    ("sent", "words", "status"),
    [
        (POST % (MOST + 1, b""), "body: more than 1000 bytes", 400),
        (CHUNKED + b"3e9\r\n" + b"x" * 1001, "body: more than 1000 bytes", 400),
        (b"GET / HTTP/1.1\r\nX_Y: z\r\n\r\n", "'X_Y': expected no underscore", 400),
        (b"GET / HTTP/1.1\r\nExpect: wonders\r\n\r\n", "only 100-continue", 417),
        (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", "not HTTP", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", "request line: more than 4094", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", "headers: too many", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, "more than 65536 bytes of headers", 431),
        (CHUNKED + b"1;" + b"a" * 70_000, "more than 65536 bytes of headers", 400),
        (CHUNKED + b"xyz\r\n", "body: broken off, or not in chunks", 400),
    ],
)
def test_what_cannot_be_read_on_is_refused_and_the_rest_dropped(
    client: Client, sent: bytes, words: str, status: int
) -> None:
    client.send(sent)
    client.send(GET)
    [(said, given)] = client.handler.refused
    assert (words in said, given) == (True, status), said
    assert client.handler.taken == []
    assert client.transport.ended
    assert b"Connection: close" in client.transport.written
    assert not client.transport.closed  # or what was written could be lost
    client.later(3)
    assert client.transport.aborted


def test_a_body_of_the_largest_size_is_taken(client: Client) -> None:
    client.send(POST % (MOST, b"x" * MOST))
    client.send(CHUNKED + b"1\r\nx\r\n" * MOST + b"0\r\n\r\n")
    assert [len(body) for _, _, body in client.handler.taken] == [MOST, MOST]


def test_a_client_that_asks_first_is_told_to_go_on(client: Client) -> None:
    head, _, body = (POST % (5, b"hello")).partition(b"\r\n\r\n")
    client.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert client.transport.statuses == [100]
    client.send(body)
    assert client.transport.statuses == [100, 200]


def test_head_is_answered_without_a_body(client: Client) -> None:
    client.send(GET.replace(b"GET", b"HEAD"))
    head, _, body = client.transport.written.partition(b"\r\n\r\n")
    assert (b"Content-Length: 2" in head, body) == (True, b"")


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_it_stays_open_as_the_client_wants_it(client: Client, head: bytes, stays: bool) -> None:
    client.send(head + GET)
    assert client.transport.closed != stays
    assert client.transport.statuses == ([200, 200] if stays else [200])
    says = b"Connection: keep-alive" if b"1.0" in head and stays else b"Connection: close"
    assert (says in client.transport.written) == (b"1.0" in head or not stays)


def test_while_the_server_stops_each_answer_is_the_last(client: Client) -> None:
    client.send(GET[:5])
    client.handler.stopping = True
    client.send(GET[5:] + GET)
    assert (client.transport.statuses, client.transport.closed) == ([200], True)
    assert b"Connection: close" in client.transport.written


@pytest.mark.parametrize(
    ("sent", "seconds", "stopping", "ends"),
    [
        (b"", 74, False, None),
        (b"", 76, False, "closed"),
        (GET, 74, False, None),
        (GET, 76, False, "closed"),
        (b"", 1, True, None),
        (b"", 3, True, "closed"),
        (GET[:10], 59, False, None),
        (GET[:10], 61, False, "refused"),
        (POST % (5, b"hell"), 61, True, "refused"),
    ],
)
def test_who_keeps_still_is_let_go(
    client: Client, sent: bytes, seconds: float, stopping: bool, ends: str | None
) -> None:
    client.send(sent) if sent else None
    client.handler.stopping = stopping
    client.later(seconds)
    assert client.transport.closed == (ends == "closed")
    assert [status for _, status in client.handler.refused] == [408] * (ends == "refused")


def test_one_that_sends_a_byte_now_and_then_gains_no_time(client: Client) -> None:
    client.send(GET[:1])
    begun = client.connection._since
    client.send(GET[1:2])
    assert client.connection._since == begun


def test_a_slow_answer_is_not_the_clients_fault(patient: Client) -> None:
    patient.send(GET)
    patient.later(1000)
    assert not patient.transport.closed
    patient.connection.answer(OK)
    assert patient.transport.statuses == [200]


def test_a_client_that_ends_its_side_still_gets_its_answer(patient: Client) -> None:
    patient.send(GET)
    assert patient.connection.eof_received()
    patient.connection.answer(OK)
    assert patient.transport.statuses == [200]


@pytest.mark.parametrize(
    ("sent", "refused"), [(b"", 0), (GET, 0), (GET[:9], 1), (POST % (5, b"hell"), 1)]
)
def test_a_request_that_breaks_off_is_refused(client: Client, sent: bytes, refused: int) -> None:
    client.send(sent) if sent else None
    assert not client.connection.eof_received()
    assert len(client.handler.refused) == refused


def test_an_answer_for_a_client_that_is_gone_is_for_nobody(patient: Client) -> None:
    patient.send(GET)
    patient.connection.connection_lost(None)
    patient.connection.answer(OK)
    assert (patient.transport.written, patient.handler.gone) == (b"", True)


def test_one_client_too_many_is_told_so() -> None:
    handler, transport = Handler(), Transport()
    handler.room = False
    connection = Connection(handler)
    connection.connection_made(transport)  # type: ignore[arg-type]
    assert (transport.statuses, transport.ended) == ([503], True)
    connection.data_received(GET)
    assert handler.taken == []


def test_no_header_of_an_answer_ends_another(client: Client) -> None:
    handler = client.handler
    handler.take = lambda *_: Answer(200, {"X": "a\r\nSet-Cookie: b", "Y": "ü€"}, b"")  # type: ignore[method-assign]
    client.send(GET)
    assert b"Set-Cookie" not in client.transport.written
    assert b"Y: \xfc?\r\n" in client.transport.written


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1"])
def test_a_header_that_would_begin_another_is_left_out_and_the_rest_is_sent(value: str) -> None:
    sent = encoded(Answer(200, {"X-Bad": value, "X-Good": "b"}, b"{}"), None, keep=True)
    assert b"Evil" not in sent
    assert b"X-Bad" not in sent
    assert b"\r\nX-Good: b\r\n" in sent
    assert sent.endswith(b"Content-Length: 2\r\n\r\n{}")
