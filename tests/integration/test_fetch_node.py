"""A real node and a bad artifact store: the deadline is the setting's, and serving goes on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from registry.ledger import Route
from tests.seaweed import READER
from tests.servingfakes import models
from tests.servingfakes.artifact_server import ArtifactServer
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route


@pytest.fixture
def server() -> Iterator[ArtifactServer]:
    with ArtifactServer({}).running() as running:
        yield running


@pytest.fixture
def node(tmp_path: Path, server: ArtifactServer) -> Iterator[Node]:
    """A node that serves v1 of `iris` and gives a fetch four seconds."""
    made = Node(tmp_path / "var")
    made.environ = {
        **READER,
        "MLFLOW_S3_ENDPOINT_URL": server.address,
        "BATON_FETCH_SECONDS": "4",
    }
    made.start()
    made.promote(route(folder(tmp_path / "v1", models.linear(1))))
    made.until_serving(1)
    yield made
    made.stop()


def _in_s3(server: ArtifactServer, path: Path, number: int) -> Route:
    """A version that multiplies by its number, kept by the test's server."""
    made = folder(path, models.linear(number), files={"notes.txt": "a line\n" * 2000})
    server.files = {p.name: p.read_bytes() for p in made.iterdir()}
    return dataclasses.replace(route(made, number), source="s3://mlflow/1/models/m-1/artifacts")


def test_a_slow_store_is_given_up_in_time_told_and_continued(
    node: Node, server: ArtifactServer, tmp_path: Path
) -> None:
    server.bytes_per_second = 1000
    node.promote(_in_s3(server, tmp_path / "v2", 2))
    told = "not all there after 4 s (BATON_FETCH_SECONDS)"
    node.until(lambda: told in str(node.ask("GET", "/models/iris").json), "the reason")
    assert node.predict().json["predictions"] == [[1.0]]
    server.bytes_per_second = None
    assert node.until_serving(2).json["predictions"] == [[2.0]]
    assert any(server.ranges), "it went on from where it was"
    assert list((node.home / "store").glob("incoming-*")) == []


def test_a_version_promoted_after_one_that_hangs_does_not_wait_for_it(
    node: Node, server: ArtifactServer, tmp_path: Path
) -> None:
    node.stop()
    node.environ["BATON_FETCH_SECONDS"] = "600"
    node.start()
    node.until_serving(1)
    server.stays_silent = True
    node.promote(_in_s3(server, tmp_path / "v2", 2))
    node.until(lambda: server.asked, "the node asked for v2")
    node.promote(route(folder(tmp_path / "v3", models.linear(3)), 3))
    assert node.until_serving(3).json["predictions"] == [[3.0]]


def test_a_node_that_is_told_to_end_does_not_wait_for_a_fetch_that_hangs(
    node: Node, server: ArtifactServer, tmp_path: Path
) -> None:
    node.stop()
    node.environ["BATON_FETCH_SECONDS"] = "600"
    node.start()
    server.stays_silent = True
    node.promote(_in_s3(server, tmp_path / "v2", 2))
    node.until(lambda: server.asked, "the node asked for v2")
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < 20


def _answers_404(server: ArtifactServer) -> None:
    server.status = 404


def _answers_500(server: ArtifactServer) -> None:
    server.status = 500


def _says_nothing(server: ArtifactServer) -> None:
    server.stays_silent = True


def _trickles(server: ArtifactServer) -> None:
    server.bytes_per_second = 1000


def _breaks_off(server: ArtifactServer) -> None:
    server.breaks_after = 0


FAULTS: Mapping[str, tuple[Callable[[ArtifactServer], None], str]] = {
    "404": (_answers_404, "no such object"),
    "500": (_answers_500, "500"),
    "hanging": (_says_nothing, "(BATON_FETCH_SECONDS)"),
    "1 kB/s": (_trickles, "(BATON_FETCH_SECONDS)"),
    "breaking off": (_breaks_off, "broke off"),
}


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_bad_object_store_leaves_the_old_version_says_why_and_is_asked_again(
    node: Node,
    server: ArtifactServer,
    tmp_path: Path,
    fault: Callable[[ArtifactServer], None],
    reason: str,
) -> None:
    fault(server)
    node.promote(_in_s3(server, tmp_path / "v2", 2))
    seen = set()

    def told() -> bool:
        reply = node.predict(3.0)
        seen.add((reply.status, str(reply.json["predictions"])))
        row = node.ask("GET", "/models/iris").json
        return "v2 refused" in str(row["reason"]) and reason in row["reason"]

    node.until(told, f"{reason!r} is shown")
    assert seen == {(200, "[[3.0]]")}
    server.status = server.bytes_per_second = server.breaks_after = None
    server.stays_silent = False
    server.over.set()
    assert node.until_serving(2).json["predictions"] == [[2.0]]
