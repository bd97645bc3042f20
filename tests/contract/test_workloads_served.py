"""Every workload that is found: trained, promoted, and served by one node beside all others.

The versions are those of the contract tests; they lie in one registry. What a node answers over
HTTP is compared with what the trained model itself said while it was packaged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.node import CommandFailed, Node
from benchmarks.processes import worker_pids
from registry.bundle import Bundle
from serving.golden import worst_error
from tests.contract.trainings import Setting
from training.workloads import find

TRAINING = ("pandas", "sklearn", "scipy", "tensorflow", "matplotlib", "pyarrow", "sqlalchemy")
_READY_SECONDS = 120


@dataclass(frozen=True)
class Served:
    """A node, and the version of each workload that it serves."""

    node: Node
    server: int
    versions: Mapping[str, Setting]


@pytest.fixture(scope="module")
def served(
    trained_once: Callable[[str], Setting], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """All of them promoted, as a person does it, and one worker that serves them."""
    versions = {name: trained_once(name) for name in sorted(find())}
    folder = tmp_path_factory.mktemp("served")
    # The trainings are tiny: how good they are is not what is tested here.
    (folder / "gates.toml").write_text("", encoding="utf-8")
    [settings] = {version.settings for version in versions.values()}
    environ = {
        "BATON_GATES": str(folder / "gates.toml"),
        "BATON_WORKERS": "1",
        "MLFLOW_TRACKING_URI": settings.tracking_uri,  # MLflow sets it to the store used last
        "MLFLOW_REGISTRY_URI": settings.registry_uri,
    }
    node = Node(settings.home, environ=environ)
    for version in versions.values():
        trained = version.trained
        node.run("registry", "promote", trained.model, str(trained.version))
    with node.serving(log=folder / "server.log") as server:
        node.ready(seconds=_READY_SECONDS)
        for version in versions.values():
            node.follows(version.trained.model, "1", seconds=_READY_SECONDS)
        yield Served(node, server.pid, versions)


def answered(node: Node, model: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction, as a client asks for it."""
    return node.call(f"/models/{model}/predict", dict(request))


@pytest.mark.parametrize("workload", sorted(find()))
def test_it_is_served_as_it_was_trained(served: Served, workload: str) -> None:
    """Every golden example over HTTP, and the version that answered is the one promoted."""
    version = served.versions[workload]
    golden = Bundle.open(version.version).golden
    assert golden is not None
    for example in golden.examples:
        body = answered(served.node, version.trained.model, example["request"])
        assert (body["model"], body["version"]) == (version.trained.model, "1")
        error = worst_error(example["response"], body, golden)
        assert not isinstance(error, str), error


def libraries(pid: int) -> set[str]:
    """The training libraries whose compiled parts a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    return {name for name in TRAINING if f"/site-packages/{name}/" in maps}


def test_the_worker_that_answered_all_that_has_no_training_library(served: Served) -> None:
    """Not even in passing; this process, which trained some, shows that one would be seen."""
    for name, version in served.versions.items():
        example = served.node.call(f"/models/{version.trained.model}")["schema"]["example"]
        assert answered(served.node, version.trained.model, example), name
    [worker] = worker_pids(served.server)
    assert libraries(worker) == set()
    assert {"pandas", "sklearn"} <= libraries(os.getpid())


@pytest.mark.parametrize("workload", sorted(find()))
def test_the_example_of_its_description_is_answered(served: Served, workload: str) -> None:
    """What `GET /models/<name>` shows can be sent as it is."""
    model = served.versions[workload].trained.model
    example = served.node.call(f"/models/{model}")["schema"]["example"]
    assert answered(served.node, model, example)["predictions"]


def test_another_model_answers_otherwise(served: Served) -> None:
    """The comparison above can fail: the answers of one model are not those of the next."""
    iris, wine = served.versions["iris"], served.versions["wine"]
    golden = Bundle.open(wine.version).golden
    assert golden is not None
    request = Bundle.open(iris.version).golden.examples[0]["request"]  # type: ignore[union-attr]
    body = answered(served.node, iris.trained.model, request)
    assert isinstance(worst_error(golden.examples[-1]["response"], body, golden), str)


def test_a_version_that_was_never_registered_is_not_promoted(served: Served) -> None:
    """The command that promoted the others does refuse."""
    with pytest.raises(CommandFailed, match="exit 2"):
        served.node.run("registry", "promote", "iris", "99")
