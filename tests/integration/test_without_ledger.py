"""A real node that serves what no ledger names: a bundle, a fallback, a stage, a pinned version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.mlflow_home import MlflowTemplate
from tests.servingfakes import models
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "var")
    yield made
    if made.server:
        made.stop()


def until(node: Node, answer: float, *, model: str = "iris") -> None:
    node.until(
        lambda: (
            (r := node.predict(model=model)).status == 200 and r.json["predictions"] == [[answer]]
        ),
        f"{model} answers {answer}",
    )


def test_a_bundle_is_served_without_any_registry(node: Node, tmp_path: Path) -> None:
    bundle = folder(tmp_path / "iris@3", models.linear(3))
    node.start("--bundle", str(bundle))
    until(node, 3.0)
    reply = node.predict()
    assert (reply.headers["X-Model-Version"], "X-Model-Seq" in reply.headers) == ("3", False)
    shown = node.ask("GET", "/models/iris").json
    assert (shown["seq"], shown["version"], shown["degraded"]) == (None, "3", False)
    node.until(lambda: node.ask("GET", "/readyz").status == 200, "it is ready")
    commands = " ".join(node.processes().values())
    assert "registrar" not in commands


def test_a_bundle_that_is_not_there_is_refused(node: Node, tmp_path: Path) -> None:
    assert node.start("--bundle", str(tmp_path / "missing")).wait(timeout=60) == 2
    assert "expected the directory of a version" in node.log()


def test_an_empty_node_without_its_ledger_serves_the_fallback_until_an_entry_replaces_it(
    node: Node, tmp_path: Path
) -> None:
    fallback = folder(tmp_path / "iris", models.linear(3))
    database = tmp_path / "var" / "ledger.db"
    away = database.rename(tmp_path / "away.db")
    database.mkdir()  # no database can be opened there
    node.environ = {"BATON_FALLBACK_DIR": str(fallback)}
    node.start()
    until(node, 3.0)
    # What one worker knows the other one may learn a moment later.
    shown = node.until(
        lambda: (r := node.ask("GET", "/models/iris").json)["degraded"] and r, "it says so"
    )
    assert shown["seq"] is None
    assert "fallback" in shown["reason"]
    database.rmdir()
    away.rename(database)
    node.promote(route(folder(tmp_path / "v5", models.linear(5)), 5))
    until(node, 5.0)
    shown = node.until_well()
    assert (shown["seq"], shown["version"]) == (1, "5")


def test_a_stage_and_a_number_are_followed_in_mlflow_itself(
    node: Node, tmp_path: Path, mlflow_template: MlflowTemplate
) -> None:
    settings = mlflow_template.copy(tmp_path / "registry")
    client = MlflowClient(settings.tracking_uri, settings.registry_uri)
    for model in ("iris", "wine"):
        client.create_registered_model(model)
        for slope in (2, 3):
            source = folder(tmp_path / f"{model}{slope}", models.linear(slope))
            client.create_model_version(model, str(source))
    client.transition_model_version_stage("iris", "1", "Staging")
    node.environ = {
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "BATON_MODELS": "iris@Staging,wine@2",
    }
    node.start()
    until(node, 2.0)
    until(node, 3.0, model="wine")
    assert "X-Model-Seq" not in node.predict().headers
    client.transition_model_version_stage("iris", "2", "Staging", archive_existing_versions=True)
    until(node, 3.0)
    node.stop()
    node.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    node.start()
    until(node, 3.0)
    until(node, 3.0, model="wine")
