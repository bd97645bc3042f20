"""A serving node needs what its image has, `locks/watcher.txt`, and nothing else that is here.

Everything that lock does not name is hidden from its processes; the ledger is a real PostgreSQL,
the versions are in a real S3, and MLflow is an address where nobody listens.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from benchmarks.versions import Versions, predict
from registry.ledger import Route
from registry.sql_ledger import SqlLedger
from tests.postgres import Postgres
from tests.seaweed import BUCKET, READER, Seaweed
from tests.servingfakes.node import ROOT, Node

LOCK = ROOT / "locks" / "watcher.txt"
HIDING = """
import sys
from importlib.machinery import PathFinder

HIDDEN = frozenset({hidden})

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_hidden = name.partition(".")[0] in HIDDEN
        return None if is_hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def hidden() -> list[str]:
    """The modules of this environment that the lock's packages do not bring."""
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.MULTILINE)}
    return sorted(
        module
        for module, packages in packages_distributions().items()
        if not locked & {_normal(name) for name in packages}
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def alone(tmp_path: Path) -> Mapping[str, str]:
    """The environment of processes that find nothing but what the lock names."""
    folder = tmp_path / "alone"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDING.format(hidden=hidden()))
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def _stored(seaweed: Seaweed, route: Route) -> Route:
    """The route, with its files in the bucket and the address that MLflow's proxy gives."""
    path = f"7/models/m-{route.version}/artifacts"
    for name in route.manifest.files:
        seaweed.put(f"{path}/{name}", Path(route.source, name).read_bytes())
    return dataclasses.replace(route, source=f"mlflow-artifacts:/{path}")


def test_what_is_hidden_is_what_serving_must_do_without():
    assert {"mlflow", "pandas", "sklearn", "onnx", "tensorflow"} & {*hidden()} >= {
        "mlflow", "pandas", "sklearn", "onnx",
    }  # fmt: skip
    assert not {"flask", "onnxruntime", "boto3", "psycopg2", "sqlalchemy"} & {*hidden()}


def test_a_node_without_mlflow_serves_and_swaps_what_is_behind_its_proxy_from_s3(
    tmp_path: Path, alone: Mapping[str, str], postgres: Postgres, seaweed: Seaweed
):
    url = postgres.new_database().replace("postgresql://", "postgresql+psycopg2://")
    environ = {
        **alone,
        **READER,
        "BATON_LEDGER_URL": url,
        "BATON_ARTIFACTS": f"s3://{BUCKET}",
        "MLFLOW_S3_ENDPOINT_URL": seaweed.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    node = Node(tmp_path / "var", environ=environ)
    node.ledger = SqlLedger(url)
    versions = Versions(tmp_path / "versions")
    node.promote(_stored(seaweed, versions.route(1)))
    node.start()
    try:
        node.until_serving(1)
        node.promote(_stored(seaweed, versions.route(2)))
        answer = node.until_serving(2).json["predictions"]
        assert answer in ([predict("2", 1.0)], [[predict("2", 1.0)]])
    finally:
        node.stop()
        node.ledger.close()
    assert "ModuleNotFoundError" not in node.log()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"BATON_ENGINES": "onnx,runner"}, "BATON_ENGINES: runner needs MLflow"),
        ({"BATON_MODELS": "iris,eyes@Staging"}, "BATON_MODELS: eyes@Staging needs MLflow"),
        ({"BATON_LEDGER_URL": "", "MLFLOW_TRACKING_URI": ""}, "BATON_LEDGER_URL: an embedded one"),
    ],
)
def test_what_needs_mlflow_is_refused_at_the_start_by_its_setting(
    tmp_path: Path, alone: Mapping[str, str], given: Mapping[str, str], named: str
):
    remote = {"BATON_LEDGER_URL": "postgresql://baton@127.0.0.1:9/baton"}
    node = Node(tmp_path / "var", environ={**alone, **remote, **given})
    assert node.start().wait(timeout=60) == 2
    assert named in node.log()
