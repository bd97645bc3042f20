"""Bytes that are not HTTP, or break off: refused or dropped, never a server error, never a hang."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.servingfakes import models
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route

BODY = b'{"instances": [[2]]}'
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
POST = b"POST /models/iris/predict HTTP/1.1\r\nHost: x\r\n"
CHUNKS = POST + JSON + CHUNKED + b"\r\n"
GOOD = POST + JSON + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
SECONDS = 10.0

CASES = {
    "no request at all": b"\r\n\r\n\r\n",
    "binary": bytes(range(256)),
    "TLS": bytes.fromhex("16030100f4010000f00303"),
    "HTTP/2 by surprise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "a version that is none": b"GET /livez HTTP/x\r\nHost: x\r\n\r\n",
    "version 3": b"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path with a space": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in small letters": b"post /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "a long line": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "a header without a colon": b"GET /livez HTTP/1.1\r\nHost x\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\n: x\r\n\r\n",
    "a blank before the colon": b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a zero byte in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "a bare return in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "an underscore in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX_Y: a\r\n\r\n",
    "a length that is none": POST + JSON + b"Content-Length: x\r\n\r\n" + BODY,
    "a negative length": POST + JSON + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length with a sign": POST + JSON + b"Content-Length: +20\r\n\r\n" + BODY,
    "two lengths": POST + JSON + b"Content-Length: 20\r\nContent-Length: 3\r\n\r\n" + BODY,
    "a length in a list": POST + JSON + b"Content-Length: 20, 20\r\n\r\n" + BODY,
    "length and chunks": POST + JSON + b"Content-Length: 20\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked twice": POST + JSON + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked, not last": POST + JSON + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + JSON + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKS.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "a chunk size that is none": CHUNKS + b"xyz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKS + b"-14\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size with a sign": CHUNKS + b"+14\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size in C": CHUNKS + b"0x14\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a huge chunk size": CHUNKS + b"f" * 40 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKS + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKS + b"4\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKS + b"14\r\n" + BODY + b"0\r\n\r\n",
    "a bare line end after a chunk": CHUNKS + b"14\n" + BODY + b"\n0\n\n",
    "a chunk extension that is none": CHUNKS + b"14;\x00a\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a trailer that is none": CHUNKS + b"14\r\n" + BODY + b"\r\n0\r\n: x\r\n\r\n",
    "an expectation nobody has": POST + JSON + b"Expect: 42\r\nContent-Length: 0\r\n\r\n",
}
# Each of these ends in the middle: the client goes away there.
BROKEN_OFF = {
    "in the request line": GOOD[:12],
    "in a header": GOOD[:50],
    "before the body": GOOD[: -len(BODY)],
    "in the body": GOOD[:-5],
    "in a chunk size": CHUNKS + b"1",
    "in a chunk": CHUNKS + b"14\r\n" + BODY[:5],
    "after a chunk": CHUNKS + b"14\r\n" + BODY + b"\r\n",
    "before the last line": CHUNKS + b"14\r\n" + BODY + b"\r\n0\r\n",
}


@pytest.fixture(scope="module", params=["on", "off"], ids=["lane", "gthread"])
def node(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Node]:
    made = tmp_path_factory.mktemp("http")
    node = Node(made / "var", environ={"BATON_LANE": request.param})
    node.promote(route(folder(made / "v1", models.linear(3))))
    node.start()
    node.until_serving(1)
    yield node
    node.stop()


def answers(node: Node, sent: bytes) -> bytes:
    """What comes back until the server closes; the client sends nothing more."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=SECONDS) as client:
        received = b""
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionError:  # refused before all of it was sent
            pass
        return received


def statuses(received: bytes) -> list[int]:
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines]


def test_a_good_request_is_answered_as_the_others_are_sent(node: Node) -> None:
    assert statuses(answers(node, GOOD)) == [200]
    assert statuses(answers(node, CHUNKS + b"14\r\n" + BODY + b"\r\n0\r\n\r\n")) == [200]


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_http_is_no_server_error(node: Node, name: str) -> None:
    workers = node.worker_pids()
    found = statuses(answers(node, CASES[name]))
    # A transfer coding that a server does not know is a 501 by RFC 9112, 6.1.
    assert [status for status in found if status >= 500 and status != 501] == [], found
    assert node.worker_pids() == workers
    assert node.predict(2.0).json["predictions"] == [[6.0]]


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_what_breaks_off_is_no_server_error(node: Node, name: str) -> None:
    found = statuses(answers(node, BROKEN_OFF[name]))
    assert [status for status in found if status >= 500] == [], found
    assert node.predict(2.0).json["predictions"] == [[6.0]]


@pytest.mark.parametrize("path", ["/models/iris/predict", "/invocations", "/v2/models/iris/infer"])
def test_broken_chunks_are_a_400_in_each_protocol_and_close(node: Node, path: str) -> None:
    sent = CHUNKS.replace(b"/models/iris/predict", path.encode()) + b"xyz\r\n" + GOOD
    received = answers(node, sent)
    assert statuses(received) == [400]
    assert b"body: broken off, or not in chunks" in received


def test_nothing_of_this_was_a_fault_of_the_server(node: Node) -> None:
    """Runs last: no request was answered by the route for what nobody expected."""
    assert '"a route failed"' not in node.log()
