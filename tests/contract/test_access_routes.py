"""With API keys, no route answers without one but those that a load balancer asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from registry.settings import Settings
from serving.app import create_app
from serving.keys import KeyFile, Scope
from tests.servingfakes.front import folders
from tests.servingfakes.lane_client import Client, Through
from tests.servingfakes.served import serve

FOR_EVERYONE = {
    *("/livez", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"),
    *("/docs", "/docs/<asset>"),
}
BODY = {"instances": [[1, 2, 3, 4]]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def keys(home: Path) -> KeyFile:
    return KeyFile(home / "var" / "keys.json")


@pytest.fixture(scope="module")
def key(keys: KeyFile) -> str:
    return keys.add("shop", [Scope.PREDICT])


@pytest.fixture(scope="module")
def app(home: Path, key: str) -> Flask:
    assert key
    serve(home / "var", folders(home))
    environ = {"BATON_HOME": str(home / "var"), "BATON_DEFAULT_MODEL": "flowers"}
    return create_app(Settings.read(environ))


@pytest.fixture(scope="module")
def client(app: Flask, through: Through) -> Client:
    return through(app)


def until(done: Callable[[], bool]) -> None:
    """Servers look at their keys twice a second."""
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_route_needs_a_key_but_those_of_health(app: Flask, client: Client, key: str) -> None:
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<name>", "flowers").replace("<version>", "1")
        for method in rule.methods & {"GET", "POST"}:  # type: ignore[operator]
            bare = client.open(path, method=method, json=BODY).status_code
            assert (bare == 401) == (path not in FOR_EVERYONE), path
            headers = {"Authorization": f"Bearer {key}"}
            held = client.open(path, method=method, json=BODY, headers=headers).status_code
            assert held != 401, path


@pytest.mark.parametrize("path", ["/nothing", "/models/nobody/predict", "/v2/models/nobody"])
def test_without_a_key_nobody_learns_what_there_is(client: Client, path: str) -> None:
    assert client.post(path, json=BODY).status_code == 401


@pytest.mark.parametrize(
    ("path", "member"),
    [("/predict", "detail"), ("/invocations", "message"), ("/v2/models/line/infer", "error")],
)
def test_each_protocol_refuses_in_its_words(client: Client, path: str, member: str) -> None:
    reply = client.post(path, json=BODY)
    assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "expected an API key" in reply.json[member]  # type: ignore[index]


def test_a_key_that_may_not_predict_is_told_so(client: Client, keys: KeyFile) -> None:
    trainer = keys.add("ci", [Scope.TRAIN])
    headers = {"X-API-Key": trainer}

    def status() -> int:
        return client.post("/predict", json=BODY, headers=headers).status_code

    until(lambda: status() != 401)
    assert status() == 403
    assert client.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("scope", "may_scrape", "may_look"),
    [
        (Scope.METRICS, 200, 403),
        (Scope.ADMIN, 200, 200),
        (Scope.PREDICT, 403, 200),
        (Scope.TRAIN, 403, 200),
    ],
)
def test_metrics_are_for_keys_of_their_own_scope(
    client: Client, keys: KeyFile, scope: Scope, may_scrape: int, may_look: int
) -> None:
    headers = {"Authorization": f"Bearer {keys.add(scope, [scope])}"}
    until(lambda: client.get("/metrics", headers=headers).status_code != 401)
    assert client.get("/metrics", headers=headers).status_code == may_scrape
    assert client.get("/models", headers=headers).status_code == may_look
    asked = client.post("/predict", json=BODY, headers=headers).status_code
    assert (asked == 403) == (scope is not Scope.PREDICT)


def test_a_key_that_asks_too_often_is_told_when_to_come_back(client: Client, keys: KeyFile) -> None:
    headers = {"X-API-Key": keys.add("eager", [Scope.PREDICT], per_second=0.1)}
    until(lambda: client.post("/predict", json=BODY, headers=headers).status_code != 401)
    reply = client.post("/predict", json=BODY, headers=headers)
    assert (reply.status_code, 1 <= int(reply.headers["Retry-After"]) <= 10) == (429, True)
