"""A real node over HTTP: gunicorn with two workers, its watcher, and a ledger on sqlite."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.missing import ServiceMissing
from tests.servingfakes import models
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.node import ROOT, Node
from tests.servingfakes.versions import folder, mlmodel, route

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SIGNATURE = mlmodel([{"name": name, "type": "double", "required": True} for name in COLUMNS])
ROW = [5.0, 3.0, 2.0, 1.0]
SPLIT = {"dataframe_split": {"columns": list(COLUMNS), "data": [ROW, ROW]}}
ANSWER = {"predictions": [5, 5], "outputs": {"scores": [[2.5, 1.5, 1.0, 0.5]] * 2}}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with an empty ledger."""
    node = Node(tmp_path_factory.mktemp("node") / "var")
    node.start()
    node.until(lambda: node.ask("GET", "/livez").status == 200, "the server is alive")
    yield node
    node.stop()


@pytest.fixture(scope="module")
def before(empty: Node) -> dict[str, Any]:
    """What the node said while nothing was in Production."""
    asked = {
        "predict": ("POST", "/predict", SPLIT),
        "named": ("POST", "/models/iris/predict", SPLIT),
        "forecast": ("GET", "/predict/petr4?days=7", None),
        "ready": ("GET", "/readyz", None),
        "models": ("GET", "/models", None),
    }
    return {name: empty.ask(*request) for name, request in asked.items()}


@pytest.fixture(scope="module")
def node(empty: Node, before: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The same node with a classifier and a forecast in Production."""
    made = tmp_path_factory.mktemp("versions")
    iris = folder(made / "iris", models.classifier(), files={"MLmodel": SIGNATURE})
    empty.promote(route(iris, 3), model="iris")
    empty.promote(route(prophet_folder(made / "petr4"), 1), model="petr4")
    empty.until(lambda: empty.ask("GET", "/readyz").status == 200, "both serve")
    return empty


@pytest.mark.parametrize("asked", ["predict", "named", "forecast", "ready"])
def test_before_anything_is_in_production_the_client_is_told_to_come_again(
    before: dict[str, Any], asked: str
) -> None:
    assert (before[asked].status, before[asked].headers["Retry-After"]) == (503, "1")


def test_a_node_without_versions_is_alive_and_lists_nothing(before: dict[str, Any]) -> None:
    assert (before["models"].status, before["models"].json) == (200, {"models": []})


@pytest.mark.parametrize(
    ("path", "body"),
    [("/models/iris/predict", SPLIT), ("/predict", {"model": "iris", **SPLIT})],
    ids=["by path", "by body"],
)
def test_a_prediction_names_model_version_and_seq(
    node: Node, path: str, body: dict[str, Any]
) -> None:
    reply = node.ask("POST", path, body, headers={"X-Request-Id": "mine.1"})
    assert reply.status == 200
    assert reply.json.items() >= {"model": "iris", "version": "3", **ANSWER}.items()
    headers = {"X-Model-Name": "iris", "X-Model-Version": "3", "X-Model-Seq": "1"}
    assert reply.headers.items() >= {**headers, "X-Request-Id": "mine.1"}.items()


def test_several_models_and_none_named_is_malformed(node: Node) -> None:
    reply = node.ask("POST", "/predict", SPLIT)
    assert (reply.status, "there is: iris, petr4" in reply.json["detail"]) == (400, True)


@pytest.mark.parametrize("query", ["days=7", "horizon=7"])
def test_a_forecast_by_query_has_a_date_and_a_band_a_day(node: Node, query: str) -> None:
    reply = node.ask("GET", f"/predict/petr4?{query}")
    rows = reply.json["predictions"]
    assert (reply.status, len(rows), rows[0]["ds"]) == (200, 7, "2021-11-20")
    assert all(row["yhat_lower"] < row["yhat"] < row["yhat_upper"] for row in rows)


def test_both_workers_draw_the_same_band(node: Node) -> None:
    replies = [node.ask("GET", "/predict/petr4?days=3") for _ in range(30)]
    assert len({reply.headers["X-Worker"] for reply in replies}) == 2
    assert len({str(reply.json["predictions"]) for reply in replies}) == 1


def _split(**cells: Any) -> dict[str, Any]:
    row = [cells.get(name, value) for name, value in zip(COLUMNS, ROW, strict=True)]
    return {"dataframe_split": {"columns": list(COLUMNS), "data": [ROW, row]}}


IRIS, PETR4 = "/models/iris/predict", "/models/petr4/predict"
BAD: dict[str, tuple[str, str, Any, int, str | None]] = {
    "not JSON": ("POST", IRIS, b"{", 400, None),
    "NaN": ("POST", IRIS, b'{"instances": [[NaN]]}', 400, None),
    "not an object": ("POST", IRIS, b"[]", 400, None),
    "no envelope": ("POST", IRIS, {}, 400, None),
    "two envelopes": ("POST", IRIS, {"inputs": [ROW], "instances": [ROW]}, 400, None),
    "an unknown key": ("POST", IRIS, {"instances": [ROW], "k": 1}, 422, "k"),
    "a text": ("POST", IRIS, _split(petal_width="x"), 422, "petal_width[1]"),
    "a boolean": ("POST", IRIS, _split(petal_width=True), 422, "petal_width[1]"),
    "null": ("POST", IRIS, _split(sepal_width=None), 422, "sepal_width[1]"),
    "beyond float32": ("POST", IRIS, _split(sepal_width=1e39), 422, "sepal_width[1]"),
    "a missing column": ("POST", IRIS, {"inputs": {"sepal_length": [1]}}, 422, "sepal_width"),
    "an extra column": ("POST", IRIS, {"inputs": {"colour": [1]}}, 422, "colour"),
    "a short row": ("POST", IRIS, {"instances": [[1, 2]]}, 422, "instances[0]"),
    "no rows": ("POST", IRIS, {"instances": []}, 422, "instances"),
    "too many rows": ("POST", IRIS, {"instances": [ROW] * 10_001}, 413, None),
    "an unknown model": ("POST", "/models/wine/predict", SPLIT, 404, None),
    "a forecast of an unknown model": ("GET", "/predict/wine?days=7", None, 404, None),
    "a horizon of 0": ("POST", PETR4, {"horizon": 0}, 422, "horizon"),
    "a negative horizon": ("POST", PETR4, {"horizon": -1}, 422, "horizon"),
    "a horizon of 10^9": ("POST", PETR4, {"horizon": 10**9}, 422, "horizon"),
    "a horizon that is a text": ("POST", PETR4, {"horizon": "7"}, 422, "horizon"),
    "0 days": ("GET", "/predict/petr4?days=0", None, 422, "days"),
    "-1 days": ("GET", "/predict/petr4?days=-1", None, 422, "days"),
    "10^9 days": ("GET", "/predict/petr4?days=1000000000", None, 422, "days"),
    "10^30 days": ("GET", f"/predict/petr4?days={10**30}", None, 422, "days"),
    "days that are a text": ("GET", "/predict/petr4?days=week", None, 422, "days"),
    "no days": ("GET", "/predict/petr4?days=", None, 422, "days"),
    "an unknown query": ("GET", "/predict/petr4?weeks=1", None, 422, "weeks"),
    "a forecast of a table": ("GET", "/predict/iris?days=7", None, 400, None),
    "another method": ("GET", IRIS, None, 405, None),
    "another path": ("GET", "/nothing", None, 404, None),
    "an unknown model's page": ("GET", "/models/wine", None, 404, None),
}


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), BAD.values(), ids=BAD)
def test_a_mistake_of_the_client_is_a_problem_that_names_the_field(
    node: Node, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    reply = node.ask(method, path, body, headers={"X-Request-Id": "mine.2"})
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")
    assert reply.json["detail"]
    assert (reply.json.get("field"), reply.json["status"]) == (field, status)
    assert reply.headers["X-Request-Id"] == reply.json["request_id"] == "mine.2"


def test_too_many_bytes_are_refused_before_they_are_sent(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    connection.putrequest("POST", IRIS)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(16 * 1024 * 1024 + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["status"]) == (413, 413)
    connection.close()


def test_another_content_type_is_unsupported(node: Node) -> None:
    reply = node.ask("POST", IRIS, SPLIT, headers={"Content-Type": "text/plain"})
    assert reply.status == 415


def test_models_say_what_serves_since_when_and_how_it_is_asked(node: Node) -> None:
    rows = {row["model"]: row for row in node.ask("GET", "/models").json["models"]}
    expected = {"version": "3", "seq": 1, "epoch": 1, "kind": "tabular", "engine": "onnx"}
    assert rows["iris"].items() >= {**expected, "ready": True, "degraded": False}.items()
    assert rows["iris"]["since"].startswith("2023-11-14T22:13:20")
    assert (rows["petr4"]["kind"], rows["petr4"]["engine"]) == ("forecast", "prophet")
    columns = node.ask("GET", "/models/iris").json["signature"]["columns"]
    assert [column["name"] for column in columns] == list(COLUMNS)


def test_a_ready_node_names_what_is_ready(node: Node) -> None:
    reply = node.ask("GET", "/readyz")
    assert (reply.status, reply.json) == (200, {"status": "ready", "models": ["iris", "petr4"]})


def test_counts_add_up_over_all_workers_and_carry_model_and_version(node: Node) -> None:
    series = 'baton_requests_total{model="iris",status="200"}'
    rows = 'baton_predictions_total{model="iris"}'
    seconds = 'baton_request_seconds_count{model="iris"}'
    before = [_metric(node, name) for name in (series, rows, seconds)]
    asked, workers = 0, set()
    while len(workers) < 2 and asked < 2_000:  # who takes a connection is the kernel's choice
        workers.add(node.ask("POST", IRIS, SPLIT).headers["X-Worker"])
        asked += 1
    after = [_metric(node, name) for name in (series, rows, seconds)]
    assert len(workers) == 2
    assert [b - a for a, b in zip(before, after, strict=True)] == [asked, 2 * asked, asked]
    assert _metric(node, 'baton_served_version{model="iris"}') == 3
    assert _metric(node, 'baton_served_seq{model="iris"}') == 1
    assert _metric(node, "baton_workers") == 2
    assert _metric(node, 'baton_degraded{model="iris"}') == 0


def test_what_prometheus_scrapes_is_what_it_expects(node: Node) -> None:
    def complaints(page: bytes) -> str:
        program = shutil.which("promtool")
        if not program:
            ServiceMissing("no promtool is installed").skip_or_fail()
        check = [program, "check", "metrics"]
        said = subprocess.run(check, input=page, capture_output=True, check=False)
        return said.stderr.decode() + ("" if said.returncode in (0, 3) else f"{said.returncode}")

    for body in (SPLIT, {}, {"instances": [[1]]}):
        node.ask("POST", IRIS, body)
    page = node.ask("GET", "/metrics").body
    assert b"baton_errors_total{" in page
    assert complaints(page) == ""
    assert "no help text" in complaints(page + b"# TYPE added counter\nadded 1\n")
    assert "non-counter" in complaints(
        page + b"# HELP a_total x\n# TYPE a_total gauge\na_total 1\n"
    )


def test_every_worker_shows_the_version_that_answers_in_it(node: Node) -> None:
    for worker in (0, 1):
        node.until(
            lambda worker=worker: (  # type: ignore[misc]
                _metric(node, f'baton_worker_version{{model="iris",worker="{worker}"}}') == 3
            ),
            "its version is shown",
        )


def _metric(node: Node, series: str) -> float:
    text = node.ask("GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


@pytest.mark.parametrize(
    ("bind", "named"), [("127.0.0.1:{taken}", "cannot listen there"), ("8000", "host:port")]
)
def test_an_address_that_cannot_be_listened_on_is_refused(
    node: Node, tmp_path: Path, bind: str, named: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving"],
        cwd=ROOT,
        env={
            **node.environment(),
            "BATON_HOME": str(tmp_path),
            "BATON_BIND": bind.format(taken=node.port),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "BATON_BIND" in done.stderr) == (2, True)
    assert named in done.stderr


def test_a_second_server_on_the_same_home_is_refused(node: Node) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving"],
        cwd=ROOT,
        env={**node.environment(), "BATON_BIND": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "another server already runs" in done.stderr) == (2, True)
    assert node.ask("GET", "/livez").status == 200
