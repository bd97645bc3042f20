"""The worker's side of a runner: every call ends by its deadline, whatever the other side does."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.bundle import Bundle
from registry.errors import ModelFailed, NotReady, RunnerAway, SignatureMismatch
from registry.signature import Column, Signature
from serving.engines.runner import RunnerEngine, _is_open, failed
from serving.frames import packed, receive, send
from serving.problems import problem
from tests.servingfakes.runners import listening, misbehaving


def bundle() -> Bundle:
    signature = Signature((Column("x", "double"),))
    return Bundle(Path("v"), "tabular", "runner", Path("v/MLmodel"), signature)


def engine(path: Path, *, seconds: float = 5) -> RunnerEngine:
    return RunnerEngine(bundle(), path, seconds=seconds)


def ask(asked: RunnerEngine, *x: float) -> Any:
    return asked.run({"x": np.array(x, float)})["y"].tolist()


def triple(arrays: Any) -> Any:
    return {"y": arrays["x"] * 3}


def test_threads_share_an_engine_and_get_their_own_answers() -> None:
    asked = engine(listening(triple))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: ask(asked, n), range(500))) == [
            [3.0 * n] for n in range(500)
        ]


def test_a_connection_is_used_again() -> None:
    connections: list[socket.socket] = []

    def converse(connection: socket.socket) -> None:
        connections.append(connection)
        while asked := receive(connection):
            send(connection, packed({}, triple(asked[1])))

    asked = engine(misbehaving(converse))
    assert [ask(asked, n) for n in (1, 2, 3)] == [[3], [6], [9]]
    assert len(connections) == 1


def test_a_connection_that_was_closed_meanwhile_is_made_anew() -> None:
    def once(connection: socket.socket) -> None:
        send(connection, packed({}, triple(receive(connection)[1])))

    asked = engine(misbehaving(once))
    for number in (1, 2, 3):
        assert ask(asked, number) == [3 * number]
        while _is_open(asked._idle[-1]):  # until the other side has closed it
            time.sleep(0.001)


MISBEHAVIOUR = {
    "never says anything": lambda connection: time.sleep(1.5),
    "says half of an answer": lambda c: (c.sendall(packed({}, {})[:9]), time.sleep(1.5)),
    "ends at once": lambda connection: None,
    "ends after the question": receive,
    "says nonsense": lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 9),
    "says too much": lambda connection: connection.sendall(b"\xff" * 12),
}


@pytest.mark.parametrize("converse", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
def test_a_runner_that_misbehaves_is_away_by_the_deadline(converse: Any) -> None:
    asked = engine(misbehaving(converse), seconds=0.3)
    begun = time.monotonic()
    with pytest.raises(RunnerAway):
        ask(asked, 1)
    assert time.monotonic() - begun < 1


def test_an_answer_that_came_too_late_is_never_taken_for_the_next_one() -> None:
    def slow(arrays: Any) -> Any:
        time.sleep(0.3 if arrays["x"][0] == 1 else 0)
        return triple(arrays)

    asked = engine(listening(slow), seconds=0.15)
    with pytest.raises(RunnerAway):
        ask(asked, 1)
    time.sleep(0.3)
    assert ask(asked, 2) == [6]


def test_nobody_listening_is_told_at_once_with_the_reason_that_was_left(tmp_path: Path) -> None:
    asked = engine(tmp_path / "r.sock")
    with pytest.raises(RunnerAway, match="it is being started"):
        ask(asked, 1)
    failed(tmp_path / "r.sock").write_text("no module named 'xgboost'")
    with pytest.raises(RunnerAway, match="xgboost"):
        ask(asked, 1)


def test_away_is_503_with_a_time_to_come_again() -> None:
    found = problem(RunnerAway("away"), request_id="r")
    assert issubclass(RunnerAway, NotReady)
    assert (found.status, found.headers["Retry-After"]) == (503, "1")


def test_loading_waits_until_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    late = threading.Timer(0.2, lambda: listening(triple).rename(path))
    late.start()
    begun = time.monotonic()
    asked = RunnerEngine.load(bundle(), path, seconds=5, patience_seconds=20)
    assert 0.1 < time.monotonic() - begun < 5
    assert ask(asked, 1) == [3]


@pytest.mark.parametrize(("reason", "least"), [("it failed", 0.0), (None, 0.3)])
def test_loading_waits_no_longer_than_its_patience_or_a_failure(
    tmp_path: Path, reason: str | None, least: float
) -> None:
    path = tmp_path / "r.sock"
    if reason:
        failed(path).write_text(reason)
    begun = time.monotonic()
    asked = RunnerEngine.load(bundle(), path, seconds=5, patience_seconds=0.3)
    assert least <= time.monotonic() - begun < least + 1
    with pytest.raises(RunnerAway, match=reason or "being started"):
        ask(asked, 1)


@pytest.mark.parametrize("depth", [1, 30])
def test_a_home_deeper_than_a_sockets_address_may_be_long(tmp_path: Path, depth: int) -> None:
    path = tmp_path.joinpath(*["folder"] * depth) / "r.sock"
    path.parent.mkdir(parents=True)
    listening(triple).rename(path)
    assert ask(engine(path), 2) == [6]


def test_the_errors_of_the_other_side_arrive_as_what_they_were() -> None:
    def run(arrays: Any) -> Any:
        raise KeyError("x") if arrays["x"][0] else SignatureMismatch("x", expected="1", got="0")

    asked = engine(listening(run))
    with pytest.raises(ModelFailed, match="KeyError"):
        ask(asked, 1)
    with pytest.raises(SignatureMismatch) as refused:
        ask(asked, 0)
    assert (refused.value.field, refused.value.got) == ("x", "0")


def test_connections_are_closed_with_the_engine() -> None:
    ended = threading.Event()

    def converse(connection: socket.socket) -> None:
        while asked := receive(connection):
            send(connection, packed({}, triple(asked[1])))
        ended.set()

    asked = engine(misbehaving(converse))
    ask(asked, 1)
    assert not ended.is_set()
    del asked
    assert ended.wait(5)
