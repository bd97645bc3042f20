"""Every query of every dashboard returns data, from a real node that a real Prometheus scrapes.

PostgreSQL and the S3 server are real too; nginx and MLflow are stand-ins, of which only that they
answer is looked at. Grafana cannot be had here: queries are shown to be valid, not how they look.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest

from benchmarks.node import free_port
from serving.keys import KeyFile, Scope
from tests.seaweed import Seaweed
from tests.servingfakes import models
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route
from tests.stack.certificates import certificate
from tests.stack.dashboards import FOLDER, asked, dashboards, silent
from tests.stack.doors import door
from tests.stack.monitored import monitored
from tests.stack.rules import ALERTMANAGER, PROMETHEUS, ROOT, loaded
from tests.stack.servers import Watching, alertmanager, blackbox, committed, prometheus
from tests.stack.traffic import Traffic, promote_all

ANSWERS = {
    ("answered", 200),
    ("joint", 200),
    ("malformed", 400),
    ("unknown", 404),
    ("failed", 500),
    ("hurried", 503),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboards")


@pytest.fixture(scope="module")
def keys(root: Path) -> dict[Scope, str]:
    """A key for each scope, of which each client has one."""
    file = KeyFile(root / "var" / "keys.json")
    return {scope: file.add(scope, [scope]) for scope in Scope}


@pytest.fixture(scope="module")
def node(root: Path, keys: dict[Scope, str]) -> Iterator[Node]:
    """A node with three models and a job in its queue, that nobody takes."""
    made = Node(root / "var")
    promote_all(made, root)
    made.start()
    headers = {"Authorization": f"Bearer {keys[Scope.TRAIN]}"}
    asked_for = {"workload": "iris"}
    made.until(
        lambda: made.ask("POST", "/train", asked_for, headers=headers).status == 202, "a job"
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def watching(
    root: Path, keys: dict[Scope, str], node: Node, seaweed: Seaweed, postgres_port: int
) -> Iterator[Watching]:
    """A Prometheus that scrapes it all, while clients ask and versions change."""
    traffic = Traffic(node, keys[Scope.PREDICT])
    node.until(lambda: traffic.once() or set(traffic.seen) >= ANSWERS, "all kinds of answers")
    own = free_port()
    with ExitStack() as stack:
        prober = stack.enter_context(blackbox(root / "blackbox"))
        config = loaded(ALERTMANAGER / "alertmanager.yml")
        manager = stack.enter_context(alertmanager(root / "alertmanager", config))
        addresses = {
            "serving-a:8000": f"127.0.0.1:{node.port}",
            "localhost:9090": f"127.0.0.1:{own}",
            "alertmanager:9093": manager.address,
            "blackbox:9115": prober.address,
            "monitor:9108": stack.enter_context(monitored()),
            "https://nginx:8443/livez": f"{stack.enter_context(door(certificate(root)))}/livez",
            "http://mlflow:5000/health": f"{stack.enter_context(door())}/health",
            "http://storage:8333/": f"{seaweed.endpoint}/",
            "postgres:5432": f"127.0.0.1:{postgres_port}",
        }
        config = committed(root / "prometheus", addresses, key=keys[Scope.METRICS])
        stack.enter_context(traffic.running())
        server = stack.enter_context(prometheus(root / "prometheus", config, port=own))
        server.until(lambda: version(server) == 1, "version 1 is scraped")
        node.promote(route(folder(root / "v2", models.linear(2)), 2))
        server.until(lambda: version(server) == 2, "version 2 is scraped")
        node.promote(route(folder(root / "v3", models.not_a_number()), 3))
        yield server
        assert set(traffic.seen) >= ANSWERS


@pytest.fixture(scope="module")
def postgres_port(postgres: Any) -> int:
    """Where the session's PostgreSQL listens."""
    return int(psycopg2.extensions.parse_dsn(postgres.new_database())["port"])


def version(watching: Watching) -> float:
    """Of `iris`, as last scraped; 0 if it was not."""
    found = watching.query('baton_served_version{model="iris"}')
    return found[0][1] if found else 0.0


def test_dashboards_are_what_the_code_generates(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "infra/grafana/build.py", tmp_path], check=True)
    made = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert {page["uid"] for page in dashboards()} == {name.removesuffix(".json") for name in made}


def test_grafana_knows_how_often_is_scraped() -> None:
    """What it puts in for `$__rate_interval` is four times that."""
    source = loaded(ROOT / "infra/grafana/provisioning/datasources/prometheus.yml")
    scraped = loaded(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scraped


def test_every_query_returns_data(watching: Watching) -> None:
    pages = dashboards()
    assert len([one for page in pages for one in asked(page)]) > 40

    def missing() -> list[Any]:
        time.sleep(1)  # a scrape
        return [one for page in pages for one in silent(page, watching)]

    deadline = time.monotonic() + 60
    while (found := missing()) and time.monotonic() < deadline:
        pass
    assert found == []


def test_a_query_that_returns_nothing_is_seen(watching: Watching) -> None:
    page = copy.deepcopy(next(one for one in dashboards() if one["uid"] == "baton-service"))
    assert silent(page, watching) == []
    broken = next(panel for panel in page["panels"] if panel["title"] == "Workers")
    broken["targets"][0]["expr"] = 'baton_workers{instance=~"$instance",model="iris"}'
    assert [one.panel for one in silent(page, watching)] == ["Workers"]
    page["templating"]["list"][-1]["query"] = "label_values(baton_nothing, instance)"
    with pytest.raises(AssertionError, match="nothing to choose for instance"):
        silent(page, watching)


def test_what_is_scraped_and_asked_answers(watching: Watching) -> None:
    """The committed ways to scrape and to ask are right for real servers."""

    def answering() -> dict[str, float]:
        found = watching.query("probe_success")
        return {labels["service"]: value for labels, value in found}

    assert answering() == {"nginx": 1, "mlflow": 1, "storage": 1, "postgres": 1}
    assert [value for _, value in watching.query("up")] == [1.0] * 9
    queued = "max by (state) (baton_jobs{state='queued'})"  # nodes look every ten seconds
    watching.until(lambda: watching.query(queued) == [({"state": "queued"}, 1.0)], "one job waits")


def test_a_version_that_is_refused_is_seen_beside_the_ledger(watching: Watching) -> None:
    def behind() -> float:
        [(_, value)] = watching.query('baton_ledger_seq{model="iris"} - baton_served_seq')
        return value

    def degraded() -> float:
        return watching.query('baton_degraded{model="iris"}')[0][1]

    watching.until(lambda: behind() == 1, "one entry behind")
    watching.until(lambda: degraded() == 1, "its trial is over")  # behind is it before that too
    assert version(watching) == 2
