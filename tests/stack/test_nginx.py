"""The stack's nginx, natively, on the very template that its container renders."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.node import free_port
from tests.stack.edge import Edge, edge, rendered, self_signed, values
from tests.stack.upstream import Upstream

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.prod.yml"
PREDICTIONS = (
    "/predict",
    "/models/iris/predict",
    "/invocations",
    "/v2/models/iris/infer",
    "/v2/models/iris/versions/3/infer",
)
ORDERS = ("/train", "/predict-custom", "/jobs/1")
JSON = {"Content-Type": "application/json"}


@dataclass
class World:
    """nginx, and who is behind it."""

    edge: Edge
    a: Upstream
    b: Upstream
    mlflow: Upstream
    grafana: Upstream

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        port: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """One request over TLS."""
        connection = self.edge.connect(port)
        try:
            connection.request(method, path, body=body, headers=JSON | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def asked(self) -> int:
        return len(self.a.asked) + len(self.b.asked)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("edge")
    certificate = self_signed(root)
    names = ("a", "b", "mlflow", "grafana")
    with (
        Upstream(names[0]).running() as a,
        Upstream(names[1]).running() as b,
        Upstream(names[2]).running() as mlflow,
        Upstream(names[3]).running() as grafana,
    ):
        words = values(
            root,
            serving=(a.address, b.address),
            mlflow=mlflow.address,
            grafana=grafana.address,
            certificate=certificate,
        )
        with edge(root, words) as made:
            yield World(made, a, b, mlflow, grafana)


@pytest.fixture
def world(running: World) -> World:
    for upstream in (running.a, running.b, running.mlflow, running.grafana):
        upstream.asked.clear()
        upstream.fault = ""
    return running


def test_the_stack_gives_every_word_of_the_template_a_value():
    given = set(re.findall(r"^      (EDGE_\w+):", COMPOSE.read_text(), flags=re.MULTILINE))
    rendered(dict.fromkeys(given, "x"))
    assert given == set(values(Path(), serving=("", ""), mlflow="", grafana="",
                               certificate=(Path(), Path())))  # fmt: skip


@pytest.mark.parametrize("path", PREDICTIONS)
@pytest.mark.parametrize("fault", ["breaks off", "refuses"])
def test_a_prediction_that_one_node_fails_is_answered_by_the_other(
    world: World, path: str, fault: str
):
    world.a.fault = fault
    answers = [world.ask("POST", path, body=b'{"x": 1}') for _ in range(8)]
    assert {(status, body) for status, body, _ in answers} == {(200, b"b")}
    assert world.a.asked, "node a was never tried: this test would prove nothing"
    assert {one.body for one in world.a.asked + world.b.asked} == {b'{"x": 1}'}


def test_a_forecast_by_get_is_tried_again_too(world: World):
    world.a.fault = "refuses"
    assert {world.ask("GET", "/predict/ProphetModel?days=7")[0] for _ in range(4)} == {200}


def test_no_prediction_fails_while_a_whole_node_is_away(tmp_path: Path, world: World):
    words = values(
        tmp_path,
        serving=(f"127.0.0.1:{free_port()}", world.b.address),
        mlflow=world.mlflow.address,
        grafana=world.grafana.address,
        certificate=(world.edge.certificate, world.edge.certificate.with_name("key.pem")),
    )
    with edge(tmp_path, words) as made, ThreadPoolExecutor(8) as crew:
        less = World(made, world.a, world.b, world.mlflow, world.grafana)
        work = [crew.submit(less.ask, "POST", "/predict", body=b"{}") for _ in range(200)]
        assert {one.result()[:2] for one in work} == {(200, b"b")}
        orders = [crew.submit(less.ask, "POST", "/train", body=b"{}") for _ in range(20)]
        assert {one.result()[0] for one in orders} == {200}, "what never arrived may go elsewhere"


@pytest.mark.parametrize("path", ORDERS)
@pytest.mark.parametrize(("fault", "status"), [("breaks off", 502), ("refuses", 503)])
def test_what_orders_work_is_sent_once_whatever_becomes_of_it(
    world: World, path: str, fault: str, status: int
):
    world.a.fault = world.b.fault = fault
    assert world.ask("POST", path, body=b'{"workload": "iris"}')[0] == status
    assert world.asked() == 1


@pytest.mark.parametrize(
    "path",
    ["/metrics", "//metrics", "/%6detrics", "/./metrics", "/models/../metrics", "/metrics?x"],
)
def test_metrics_are_refused_however_they_are_written(world: World, path: str):
    status, body, headers = world.ask("GET", path)
    assert status == 404
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["title"] == "Not Found"
    assert world.asked() == 0


def test_liveness_is_nginxs_own_and_reaches_no_node(world: World):
    assert world.ask("GET", "/livez")[:2] == (200, b"nginx answers\n")
    assert world.asked() == 0


def test_an_id_is_made_and_is_the_same_for_all_attempts_of_a_request(world: World):
    world.a.fault = world.b.fault = "refuses"
    assert world.ask("POST", "/predict", body=b"{}")[0] == 503
    ids = [one.headers["x-request-id"] for one in world.a.asked + world.b.asked]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert re.fullmatch("[0-9a-f]{32}", ids[0])
    world.a.fault = world.b.fault = ""
    world.ask("POST", "/predict", body=b"{}")
    assert world.a.asked[-1].headers["x-request-id"] != world.b.asked[-1].headers["x-request-id"]


@pytest.mark.parametrize(
    ("said", "is_kept"), [("order-7.a_B", True), ("no good", False), ("x" * 65, False)]
)
def test_a_clients_own_id_is_kept_if_it_is_one(world: World, said: str, is_kept: bool):
    world.ask("POST", "/predict", body=b"{}", headers={"X-Request-Id": said})
    [one] = world.a.asked + world.b.asked
    assert (one.headers["x-request-id"] == said) is is_kept


def test_a_node_hears_of_the_client_from_nginx_only(world: World):
    lies = {
        "X-Forwarded-For": "10.9.9.9",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "10.9.9.9",
        "Forwarded": "for=10.9.9.9",
    }
    world.ask("GET", "/models", headers=lies)
    [one] = world.a.asked + world.b.asked
    host = f"localhost:{world.edge.https}"
    said = {name: value for name, value in one.headers.items() if "forwarded" in name}
    assert said == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": host,
    }
    assert one.headers["host"] == host
    assert "x-real-ip" not in one.headers


def test_plain_http_is_sent_on_to_tls(world: World):
    connection = http.client.HTTPConnection("localhost", world.edge.http, timeout=30)
    connection.request("POST", "/predict?a=b", body=b"{}")
    answer = connection.getresponse()
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://localhost:{world.edge.https}/predict?a=b"
    connection.close()


def test_a_client_that_speaks_only_old_tls_is_refused(world: World):
    old = ssl.create_default_context(cafile=world.edge.certificate)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    connection = http.client.HTTPSConnection("localhost", world.edge.https, context=old, timeout=30)
    with pytest.raises(ssl.SSLError):
        connection.request("GET", "/livez")
    assert world.ask("GET", "/livez")[2]["Strict-Transport-Security"] == "max-age=31536000"


def test_a_body_over_the_limit_is_a_problem_that_names_it(world: World):
    status, body, _ = world.ask("POST", "/predict", body=b" " * (17 * 1024 * 1024 + 1))
    assert (status, json.loads(body)["status"]) == (413, 413)
    assert world.asked() == 0


def test_mlflow_and_grafana_have_ports_of_their_own(world: World):
    assert world.ask("PUT", "/api/2.0/x", body=b"1", port=world.edge.mlflow)[:2] == (200, b"mlflow")
    assert world.ask("GET", "/metrics", port=world.edge.grafana)[:2] == (200, b"grafana")
    assert world.asked() == 0


def test_a_split_sends_its_share_of_predictions_to_the_canary_and_limits_hold(
    tmp_path: Path, world: World
):
    with Upstream("canary").running() as canary:
        words = values(
            tmp_path,
            serving=(world.a.address, world.b.address),
            mlflow=world.mlflow.address,
            grafana=world.grafana.address,
            certificate=(world.edge.certificate, world.edge.certificate.with_name("key.pem")),
        )
        words |= {"EDGE_CANARY": canary.address, "EDGE_SPLIT": "50% canary;"}
        words |= {"EDGE_RATE": "1r/m", "EDGE_BURST": "60"}
        with edge(tmp_path, words) as made:
            split = World(made, world.a, world.b, world.mlflow, world.grafana)
            said = [split.ask("POST", "/predict", body=b"{}")[1] for _ in range(50)]
            orders = {split.ask("POST", "/train", body=b"{}")[1] for _ in range(10)}
            assert {said.count(b"canary") > 5, said.count(b"canary") < 45} == {True}
            assert orders == {b"a", b"b"}
            limited = [split.ask("POST", "/predict", body=b"{}") for _ in range(3)][-1]
    assert limited[0] == 429
    assert limited[2]["Retry-After"] == "1"
    assert json.loads(limited[1])["title"] == "Too Many Requests"
