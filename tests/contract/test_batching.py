"""Joint calls, from the socket to ONNX Runtime and back: each client gets its own rows or error."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

from registry.bundle import Golden
from registry.settings import Settings
from serving import metrics
from serving.app import create_app
from serving.engines import batching
from serving.routes.parts import EXTENSION
from tests.servingfakes import models
from tests.servingfakes.lane_client import LaneClient
from tests.servingfakes.served import serve
from tests.servingfakes.versions import batched, folder

THREADS, REQUESTS = 16, 320
MOST_ROWS = 16
TOLERANCE = 1e-5
EXAMPLE = {"request": {"instances": [[0, 0, 0, 0], [1, 0, 0, 0]]}, "response": {}}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """Two versions of the same graph: one with joint calls, one without."""
    home = tmp_path_factory.mktemp("batching")
    graph = models.dense(512)
    files = batched(MOST_ROWS, Golden((EXAMPLE,)))
    folders = {
        "joint": folder(home / "joint", graph, files=files),
        "alone": folder(home / "alone", graph),
    }
    serve(home / "var", folders)
    return create_app(Settings.read({"BATON_HOME": str(home / "var"), "BATON_QUEUE": "1000"}))


@pytest.fixture(scope="module")
def lane(app: Flask) -> Iterator[LaneClient]:
    client = LaneClient(app)
    yield client
    client.close()


def rows_of(number: int) -> list[list[float]]:
    """One to three rows that no other request has."""
    return [[number / 100, row, -number / 200, 1.0] for row in range(1 + number % 3)]


def post(connection: http.client.HTTPConnection, model: str, rows: Any) -> tuple[int, Any]:
    body = json.dumps({"instances": rows})
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/models/{model}/predict", body, headers)
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


def ask_all(port: int, model: str, *, threads: int = THREADS) -> list[tuple[int, Any]]:
    """Every request, by so many clients at once; every tenth is one that the graph cannot take."""

    def client(first: int) -> dict[int, tuple[int, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        answers = {}
        for number in range(first, REQUESTS, threads):
            rows = [[number]] if number % 10 == 0 else rows_of(number)
            answers[number] = post(connection, model, rows)
        connection.close()
        return answers

    with ThreadPoolExecutor(threads) as pool:
        found = [one for part in pool.map(client, range(threads)) for one in part.items()]
    return [answer for _, answer in sorted(found)]


def wrong(answers: list[tuple[int, Any]], expected: list[tuple[int, Any]]) -> list[int]:
    """The requests that were answered otherwise than they are alone."""
    return [
        number
        for number, (got, alone) in enumerate(zip(answers, expected, strict=True))
        if got[0] != alone[0]
        or (got[0] == 200 and not _close(got[1]["predictions"], alone[1]["predictions"]))
    ]


def counted(series: str) -> float:
    """Of the version with joint calls, in this process."""
    lines = metrics.exposition(Path("does-not-exist"))[1].decode().splitlines()
    said = f'{series}{{model="joint"}} '
    return sum(float(line.removeprefix(said)) for line in lines if line.startswith(said))


def _close(got: Any, expected: Any) -> bool:
    shapes = np.shape(got) == np.shape(expected)
    return shapes and np.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.fixture(scope="module")
def expected(lane: LaneClient) -> list[tuple[int, Any]]:
    """What a single client is answered by the version without joint calls."""
    answers = ask_all(lane.port, "alone", threads=1)
    assert [status for status, _ in answers] == ([422] + [200] * 9) * (REQUESTS // 10)
    return answers


def test_many_clients_share_calls_and_each_gets_its_own_rows_or_error(
    app: Flask, lane: LaneClient, expected: list[tuple[int, Any]]
) -> None:
    with app.extensions[EXTENSION].manager.acquire("joint") as serving:
        engine = serving.servable._batched
        with engine.recording() as asked:
            assert wrong(ask_all(lane.port, "joint"), expected) == []
    sizes = [len(one["x0"]) for one in asked]
    assert sum(sizes) == sum(len(rows_of(n)) for n in range(REQUESTS) if n % 10)
    assert len(sizes) < 0.9 * REQUESTS, "calls were shared"
    assert 3 < max(sizes) <= MOST_ROWS
    assert counted("baton_joint_rows_sum") > 1.1 * counted("baton_joint_rows_count") > 0


def test_that_check_sees_rows_that_went_to_somebody_else(
    lane: LaneClient, expected: list[tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = batching.parted

    def swapped(answer: Any, rows: Any) -> Any:
        parts = real(answer, rows)
        return parts and parts[::-1]

    monkeypatch.setattr(batching, "parted", swapped)
    assert wrong(ask_all(lane.port, "joint"), expected) != []


def test_a_single_client_is_answered_bit_by_bit_as_without(
    lane: LaneClient, expected: list[tuple[int, Any]]
) -> None:
    answers = ask_all(lane.port, "joint", threads=1)
    assert [body.get("predictions") for _, body in answers] == [
        body.get("predictions") for _, body in expected
    ]


def test_without_the_lane_it_is_the_same(app: Flask, expected: list[tuple[int, Any]]) -> None:
    """Under any WSGI server with threads."""

    def one(number: int) -> tuple[int, Any]:
        rows = [[number]] if number % 10 == 0 else rows_of(number)
        reply = app.test_client().post("/models/joint/predict", json={"instances": rows})
        return reply.status_code, reply.json

    with ThreadPoolExecutor(THREADS) as pool:
        assert wrong(list(pool.map(one, range(REQUESTS))), expected) == []
