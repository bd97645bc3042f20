"""Bad versions that no judge saw (a ledger written by hand, a policy of `trust`), on a real node.

The node's own trial is then all there is between them and the workers: each is refused before a
worker sees it, the old version answers every request, and the reason is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from serving.stored import root_of
from tests.integration.test_bad_bytes import refused
from tests.servingfakes import models
from tests.servingfakes.bad_versions import BAD, MARKER, Bad
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route

_LIMITS = {"BATON_TRIAL_SECONDS": "12", "BATON_TRIAL_MEMORY_MB": "2048"}
# What only the judge can see: rules about this promotion, links that a fetch does not bring along.
HEADS: Mapping[str, Bad] = {name: bad for name, bad in BAD.items() if bad.gate == "servable"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that serves v1 of `iris`, which multiplies by 1."""
    home = tmp_path_factory.mktemp("node")
    made = Node(home / "var", environ=_LIMITS)
    made.start()
    made.promote(route(folder(home / "v1", models.linear(1)), 1))
    made.until_serving(1)
    yield made
    made.stop()


@pytest.mark.parametrize(("name", "bad"), HEADS.items(), ids=HEADS)
def test_it_never_reaches_a_worker_and_the_old_version_answers(
    node: Node, tmp_path: Path, name: str, bad: Bad
) -> None:
    workers = node.worker_pids()
    bad.make(tmp_path / "version")
    head = route(tmp_path / "version", 100 + list(HEADS).index(name))
    reason = refused(node, head)
    assert bad.reason in reason, reason
    assert not root_of(node.home / "store", head.digest).exists()
    assert node.worker_pids() == workers
    assert "cannot load: " not in node.log()
    assert not (tmp_path / MARKER).exists()


def test_most_of_the_table_is_tried() -> None:
    assert {name.partition(":")[0] for name in HEADS} >= {
        "truncated ONNX",
        "empty ONNX",
        "garbage ONNX",
        "unknown opset",
        "infinite output",
        "NaN output",
        "wrong shape",
        "crash on load",
        "hang on load",
        "30 s a prediction",
        "20 GB on load",
        "external data by ..",
        "external data by an absolute name",
        "a pickle that writes a marker",
        "MLmodel naming its own loader module",
        "golden examples answered wrongly",
    }
