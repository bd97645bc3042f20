"""The Python client, against a real server and against servers that misbehave."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.node import free_port
from serving.client import Client, Model, RequestFailed
from tests.servingfakes import models
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.node import ROOT, Node
from tests.servingfakes.versions import folder, mlmodel, route

COLUMNS = [{"name": name, "type": "double", "required": True} for name in "abcd"]
ROW = [5.0, 3.0, 2.0, 1.0]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A classifier with columns, and a forecast."""
    made = tmp_path_factory.mktemp("client")
    node = Node(made / "var", workers=1)
    files = {"MLmodel": mlmodel(COLUMNS)}
    node.promote(route(folder(made / "iris", models.classifier(), files=files), 3))
    node.promote(route(prophet_folder(made / "petr4"), 1), model="petr4")
    node.start()
    node.until(lambda: len(node.ask("GET", "/readyz").json.get("models", ())) == 2, "both serve")
    yield node
    node.stop()


@pytest.fixture
def client(node: Node) -> Iterator[Client]:
    with contextlib.closing(Client(f"http://127.0.0.1:{node.port}/")) as client:
        yield client


def test_a_prediction_says_who_made_it(client: Client) -> None:
    answer = client.predict("iris", [ROW, ROW], request_id="mine.1")
    assert (answer.model, answer.version, answer.seq) == ("iris", "3", 1)
    assert (answer.predictions, answer.request_id) == ([5, 5], "mine.1")
    assert answer.outputs == {"scores": [[2.5, 1.5, 1.0, 0.5]] * 2}
    assert len(answer.prediction_id) == 36


def test_rows_and_columns_come_in_whatever_form_is_at_hand(client: Client) -> None:
    asked = [
        client.predict("iris", rows=np.array([ROW])),
        client.predict("iris", rows=[dict(zip("abcd", ROW, strict=True))]),
        client.predict("iris", columns={name: np.array([v]) for name, v in zip("abcd", ROW)}),  # noqa: B905
    ]
    assert [answer.predictions for answer in asked] == [[5]] * 3
    with pytest.raises(ValueError, match="either rows or columns"):
        client.predict("iris")


def test_a_forecast_has_a_step_a_day(client: Client) -> None:
    answer = client.forecast("petr4", 3)
    assert [row["ds"] for row in answer.predictions] == ["2021-11-20", "2021-11-21", "2021-11-22"]
    assert (answer.model, answer.version, answer.outputs) == ("petr4", "1", {})


def test_models_and_readiness(client: Client) -> None:
    iris, petr4 = client.models()
    assert iris == Model(
        model="iris",
        version="3",
        seq=1,
        kind="tabular",
        engine="onnx",
        ready=True,
        degraded=False,
        reason=None,
    )
    assert (petr4.kind, petr4.engine) == ("forecast", "prophet")
    assert client.ready()


def test_a_refusal_says_all_that_the_server_says(client: Client) -> None:
    with pytest.raises(RequestFailed) as failed:
        client.predict("iris", [["x", *ROW[1:]]], request_id="mine.2")
    error = failed.value
    assert (error.status, error.title) == (422, "Unprocessable Entity")
    assert error.detail.startswith("a[0]: expected")
    assert (error.request_id, error.retry_after) == ("mine.2", None)
    with pytest.raises(RequestFailed, match="404 Not Found: no model 'a b'"):
        client.predict("a b", [ROW])


def test_nobody_there_is_status_0_and_not_ready() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", timeout=5)
    assert not client.ready()
    with pytest.raises(RequestFailed, match="No answer") as failed:
        client.predict("iris", [ROW])
    assert failed.value.status == 0


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected http"):
        Client(url)


def test_threads_share_a_client_and_get_their_own_answers(client: Client) -> None:
    def one(number: int) -> bool:
        return client.predict("iris", [[number, 0, 0, 0]]).predictions == [number]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(400)))
    assert 1 <= len(client._idle) <= 8


def reply(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


OK = reply("200 OK", '{"model": "m", "version": "1", "prediction_id": "p", "predictions": [1]}')
Serve = Callable[..., str]


@pytest.fixture
def scripted() -> Iterator[Serve]:
    """A server whose connections give these answers, one after the other, and are then closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    threads: list[threading.Thread] = []

    def serve(*connections: list[bytes]) -> str:
        def run() -> None:
            for answers in connections:
                with listener.accept()[0] as connection, connection.makefile("rb") as asked:
                    for answer in answers:
                        asked.readline()
                        head = http.client.parse_headers(asked)
                        asked.read(int(head["Content-Length"]))
                        connection.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "not all that was scripted was asked for"
    listener.close()


def test_a_connection_that_the_server_closed_while_it_was_idle_is_no_error(scripted: Serve) -> None:
    client = Client(scripted([OK, OK], [OK]))
    assert [client.predict("m", [[1]]).predictions for _ in range(3)] == [[1]] * 3
    client.close()


def test_a_new_connection_that_is_closed_is_one_and_is_not_asked_again(scripted: Serve) -> None:
    client = Client(scripted([b""], [OK]))
    with pytest.raises(RequestFailed, match="RemoteDisconnected"):
        client.predict("m", [[1]])
    assert client.predict("m", [[1]]).predictions == [1]
    client.close()


def test_a_server_that_says_when_to_come_again_is_heard(scripted: Serve) -> None:
    full = reply("503 Service Unavailable", '{"title": "Full", "detail": "d"}', "Retry-After: 7")
    proxy = reply("502 Bad Gateway", "<html>nginx</html>", "Connection: close")
    client = Client(scripted([full, proxy]))
    with pytest.raises(RequestFailed, match="503 Full: d") as failed:
        client.predict("m", [[1]])
    assert failed.value.retry_after == 7
    with pytest.raises(RequestFailed, match="502 Bad Gateway: <html>"):
        client.predict("m", [[1]])
    assert client._idle == []


def test_a_key_is_sent(node: Node, tmp_path: Path) -> None:
    """To a server that has keys."""
    environ = {**node.environment(), "BATON_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "serving", "keys", "add", "shop", "--scope", "predict"]
    made = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    key = next(word for word in made.stdout.split() if word.startswith("baton_"))
    shutil.copy(tmp_path / "keys.json", node.home / "keys.json")
    url = f"http://127.0.0.1:{node.port}"
    node.until(lambda: node.ask("GET", "/models").status == 401, "keys are asked for")
    with pytest.raises(RequestFailed, match="401 Unauthorized"):
        Client(url).predict("iris", [ROW])
    assert Client(url, key).predict("iris", [ROW]).predictions == [5]


def test_the_file_alone_is_enough(tmp_path: Path) -> None:
    """Without this project and without any library."""
    shutil.copy(ROOT / "serving" / "client.py", tmp_path / "copied.py")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import copied; print(copied.Client)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "copied.Client" in done.stdout) == (0, True), done.stderr
