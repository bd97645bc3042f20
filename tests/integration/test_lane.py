"""The lane of a real server: slow clients, slow models, too many requests, and a clean end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servingfakes import models
from tests.servingfakes.node import ROOT, Node
from tests.servingfakes.versions import folder, route

BODY = json.dumps({"instances": [[2.0]]}).encode()
HEAD = (
    b"POST /models/iris/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)
SECONDS = 30.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "var", workers=1)
    node.promote(route(folder(tmp_path / "v1", models.linear(3))))
    yield node
    if node.server and node.server.poll() is None:
        node.stop()


def started(node: Node) -> Node:
    node.start()
    node.until_serving(1)
    return node


def test_many_slow_clients_keep_nobody_waiting(node: Node) -> None:
    """More of them than there are threads, each in the middle of its request."""
    started(node)
    slow = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(100)]
    for client in slow:
        client.sendall(HEAD + BODY[:3])
    begun = time.monotonic()
    for _ in range(20):
        assert node.predict(2.0).json["predictions"] == [[6.0]]
    assert time.monotonic() - begun < SECONDS
    for client in slow:
        client.sendall(BODY[3:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.close()


def test_on_sigterm_everyone_who_asks_is_answered(node: Node) -> None:
    """On kept connections and on new ones; nobody's connection is reset."""
    started(node)
    told, begin = threading.Event(), threading.Barrier(9)
    wrong: list[str] = []
    answered = [0] * 8

    def ask(number: int, *, kept: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=SECONDS)
        begin.wait()
        until = float("inf")
        while time.monotonic() < until:
            if told.is_set() and until == float("inf"):
                until = time.monotonic() + 0.5
            try:
                connection.request(
                    "POST", "/models/iris/predict", BODY, {"Content-Type": "application/json"}
                )
                reply = connection.getresponse()
                body = json.loads(reply.read())
            except (OSError, http.client.HTTPException) as error:
                wrong.append(repr(error))
                return
            if (reply.status, body.get("predictions")) != (200, [[6.0]]):
                wrong.append(f"{reply.status} {body}")
            answered[number] += 1
            if not kept or reply.getheader("Connection") == "close":
                connection.close()

    threads = [
        threading.Thread(target=ask, args=(number,), kwargs={"kept": number % 2 == 0})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    begin.wait()
    time.sleep(0.3)
    assert node.server
    node.server.send_signal(signal.SIGTERM)
    told.set()
    for thread in threads:
        thread.join(SECONDS)
    assert (wrong, min(answered) > 1) == ([], True)
    assert node.server.wait(SECONDS) == 0


def test_an_idle_client_does_not_hold_the_end_up(node: Node) -> None:
    started(node)
    idle = http.client.HTTPConnection("127.0.0.1", node.port, timeout=SECONDS)
    idle.request("GET", "/livez")
    idle.getresponse().read()
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < 15


def test_a_request_under_way_is_finished_before_the_end(node: Node) -> None:
    started(node)
    client = socket.create_connection(("127.0.0.1", node.port), timeout=SECONDS)
    client.sendall(HEAD + BODY[:3])
    time.sleep(0.2)
    assert node.server
    node.server.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    client.sendall(BODY[3:])
    received = client.recv(65536)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in received
    assert node.server.wait(SECONDS) == 0


def test_while_it_stops_it_is_not_ready(node: Node) -> None:
    started(node)
    client = http.client.HTTPConnection("127.0.0.1", node.port, timeout=SECONDS)
    client.request("GET", "/readyz")
    assert client.getresponse().read()
    held = socket.create_connection(("127.0.0.1", node.port), timeout=SECONDS)
    held.sendall(HEAD)
    assert node.server
    node.server.send_signal(signal.SIGTERM)
    node.until(lambda: "stop" in json.dumps(ready(client)), "not ready while it stops")
    held.close()


def ready(client: http.client.HTTPConnection) -> Any:
    client.request("GET", "/readyz")
    reply = client.getresponse()
    said = json.loads(reply.read())
    return said if reply.status == 503 else ""


_SLOW_TO_COME = """
import pathlib, sys, time

def application():
    pathlib.Path({mark!r}).touch()
    time.sleep(1.0)
    from tests.servingfakes.front import front
    return front(pathlib.Path({home!r}))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_while_it_loads_stops(
    tmp_path: Path, number: signal.Signals
) -> None:
    """It hears of it although its loop does not run yet."""
    mark = tmp_path / "loading"
    text = _SLOW_TO_COME.format(mark=str(mark), home=str(tmp_path / "home"))
    (tmp_path / "slow_to_come.py").write_text(text)
    command = [sys.executable, "-m", "gunicorn", "slow_to_come:application()", "--workers", "1"]
    command += ["--worker-class", "serving.lane.worker.LaneWorker", "--bind", "127.0.0.1:0"]
    command += ["--graceful-timeout", "120"]
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    with subprocess.Popen(command, env=environ, cwd=ROOT) as server:
        try:
            deadline = time.monotonic() + SECONDS
            while not mark.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            server.send_signal(number)
            server.wait(SECONDS)
        finally:
            server.kill()
