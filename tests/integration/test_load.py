"""The load client against servers that are slow, break off, or answer something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson

from benchmarks.load import Load

RATE = 200.0
Answer = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Answers `x · 2` as version 2, or does what `special` says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    special: Answer

    def do_POST(self) -> None:
        body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).special(self, int(body["instances"][0][0]))

    def answer(self, x: int, status: int = 200, identity: str | None = None) -> None:
        body = orjson.dumps({"predictions": [[2.0 * x]]})
        head = {
            "Content-Length": str(len(body)),
            "X-Request-Id": identity or self.headers["X-Request-Id"],
            "X-Model-Version": "2",
            "X-Model-Seq": "1",
            "X-Worker": "0",
        }
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def loaded(tmp_path: Path, special: Answer, *, seconds: float = 1.0) -> Iterator[Load]:
    """A load that has run for a while, with what it recorded."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Special", (Handler,), {"special": special})
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="server")
    thread.start()
    try:
        record = tmp_path / "history.bin"
        load = Load(server.server_port, "/", RATE, record, workers=1, connections=4)
        with load.running():
            time.sleep(seconds)
        yield load
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_request_is_due_at_its_time_and_recorded_once(tmp_path: Path) -> None:
    with loaded(tmp_path, lambda handler, x: handler.answer(x)) as load:
        rows = load.rows()
    assert sorted(rows["number"].tolist()) == list(range(load.count))
    assert load.count >= RATE / 2
    assert (rows["echoed"] == rows["number"]).all()
    assert (rows["answer"] == 2.0 * rows["number"]).all()
    assert set(rows["status"].tolist()) == {200}
    due = rows[rows["number"].argsort()]["due"]
    assert abs((due[-1] - due[0]) - (load.count - 1) / RATE) < 1e-6
    assert (load.newest.seq, load.newest.version, load.bad) == (1, 2, 0)


def test_a_stall_shows_in_every_request_that_was_due_meanwhile(tmp_path: Path) -> None:
    stalled = threading.Lock()

    def stall(handler: Handler, x: int) -> None:
        if x == 40:
            stalled.acquire()
            time.sleep(0.5)
            stalled.release()
        with stalled:
            handler.answer(x)

    with loaded(tmp_path, stall) as load:
        rows = load.rows()
    latency = rows["ended"] - rows["due"]
    assert (latency > 0.1).sum() >= 0.3 * RATE
    assert latency.max() >= 0.45


def test_what_breaks_off_is_recorded_and_not_asked_again(tmp_path: Path) -> None:
    def break_off(handler: Handler, x: int) -> None:
        if x % 10 == 3:
            handler.close_connection = True
        else:
            handler.answer(x)

    with loaded(tmp_path, break_off) as load:
        rows = load.rows()
    broken = rows["number"] % 10 == 3
    assert sorted(rows["number"].tolist()) == list(range(load.count))
    assert (rows["status"][broken] == 0).all()
    assert (rows["status"][~broken] == 200).all()
    assert load.bad == broken.sum() > 0


def test_an_answer_to_another_request_and_a_refusal_are_recorded_as_they_are(
    tmp_path: Path,
) -> None:
    def mixed_up(handler: Handler, x: int) -> None:
        handler.answer(x, 503 if x == 5 else 200, "r1" if x == 7 else None)

    with loaded(tmp_path, mixed_up) as load:
        rows = load.rows()
    assert rows["status"][rows["number"] == 5].tolist() == [503]
    assert rows["echoed"][rows["number"] == 7].tolist() == [-1]
    assert load.bad == 1


def test_no_server_is_no_request_answered(tmp_path: Path) -> None:
    with loaded(tmp_path, lambda handler, x: handler.answer(x), seconds=0.2) as ended:
        pass
    load = Load(ended.port, "/", RATE, tmp_path / "none.bin", workers=0)
    with load.running():
        time.sleep(0.3)
    assert set(load.rows()["status"].tolist()) == {0}
