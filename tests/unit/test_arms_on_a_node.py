"""How a node gets to a split and away from it: both versions first, then one flip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from registry.ledger import Role
from serving.residents import Residents
from tests.servingfakes.versions import beside
from tests.servingfakes.watched import WatchedNode
from tests.servingfakes.workers import FakeLoader, FakeServable, FakeWorker


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WatchedNode]:
    made = WatchedNode(tmp_path)
    made.head(made.version(1))
    made.step()
    yield made
    made.close()


def split(node: WatchedNode, number: int = 2, share: float = 0.5) -> None:
    node.head(node.version(1), beside(node.version(number), share))
    node.step()


def one_more(node: WatchedNode, residents: Residents) -> None:
    """Another worker, which is the one that a test looks at."""
    first, node.worker = node.worker, FakeWorker(node.home, FakeLoader(), residents=residents)

    def both() -> None:
        first.step()
        node.worker.step()

    node.tick = both


def arm(node: WatchedNode) -> str | None:
    """The digest that a worker has beside what serves."""
    with node.worker.manager.acquire("iris") as serving:
        if serving.assignment.arm is None:
            return None
        found = node.worker.manager.beside(serving.assignment.arm)
    return cast("FakeServable", found.servable).digest if found else None


def test_a_split_brings_its_arm_and_flips_once_without_a_load_of_what_serves(
    node: WatchedNode,
) -> None:
    one, two = node.version(1), node.version(2)
    split(node)
    assert node.trial.tried == [one.digest, two.digest]
    assert (node.worker.answers(), arm(node)) == ((2, one.digest), two.digest)
    assert node.loader.loaded == [one.digest, two.digest]


def test_until_the_arm_is_there_what_serves_answers_alone(node: WatchedNode) -> None:
    node.trial.gate.clear()
    node.head(node.version(1), beside(node.version(2), 0.5))
    node.step(wait=False)
    assert (node.worker.answers(), arm(node)) == ((1, node.version(1).digest), None)
    node.trial.gate.set()
    node.step()
    assert node.worker.answers()[0] == 2


def test_an_arm_that_fails_its_trial_refuses_the_entry_and_says_which_and_why(
    node: WatchedNode,
) -> None:
    one, two = node.version(1), node.version(2)
    node.trial.refused = {two.digest}
    split(node)
    assert (node.worker.answers(), arm(node)) == ((1, one.digest), None)
    assert node.held().refused == (
        f"v2 ({two.digest[:12]}), to be beside what serves, refused: answers NaN"
    )
    told = node.ledger.told[-1]["models"]["iris"]
    assert told["refused_seq"] == "1.2", "so that the registrar ends it, if all nodes say so"
    node.now, node.trial.refused = 2.0, set()
    node.step()
    assert (node.worker.answers(), arm(node)) == ((2, one.digest), two.digest)
    assert node.held().refused == ""


def test_an_arm_that_a_worker_cannot_load_refuses_the_entry(node: WatchedNode) -> None:
    one, two = node.version(1), node.version(2)
    node.loader.broken = {two.digest}
    split(node)
    assert (node.worker.answers(), arm(node)) == ((1, one.digest), None)
    assert node.held().refused.startswith(f"v2 ({two.digest[:12]})")
    node.head(one)
    node.step()
    assert (node.worker.answers(), node.held().refused) == ((3, one.digest), "")


def test_a_node_that_was_away_brings_both(node: WatchedNode) -> None:
    two, three = node.version(2), node.version(3)
    node.head(two)
    node.head(two, beside(three, 0.5))
    node.step()
    assert (node.worker.answers(), arm(node)) == ((3, two.digest), three.digest)


def test_the_end_of_a_split_is_a_flip_and_its_arm_leaves(node: WatchedNode) -> None:
    one, two = node.version(1), node.version(2)
    split(node)
    node.head(one)
    node.step()
    assert (node.worker.answers(), arm(node)) == ((3, one.digest), None)
    assert [held.digest for held in node.held()] == [one.digest, one.digest]
    assert node.worker.manager._residents.get(("iris", two.digest)) is None
    assert node.loader.loaded == [one.digest, two.digest]


def test_the_promotion_of_an_arm_loads_nothing(node: WatchedNode) -> None:
    one, two = node.version(1), node.version(2)
    split(node)
    node.head(two)
    node.step()
    assert (node.worker.answers(), arm(node)) == ((3, two.digest), None)
    node.head(one)
    node.step()
    assert node.worker.answers() == (4, one.digest)
    assert (node.loader.loaded, len(node.trial.tried)) == ([one.digest, two.digest], 2)


def test_another_share_of_the_same_split_loads_nothing(node: WatchedNode) -> None:
    split(node)
    split(node, share=0.9)
    found = node.held().current
    assert found
    assert found.arm
    assert (found.key.seq, found.arm.share) == (3, 0.9)
    assert len(node.loader.loaded) == 2


def test_an_arm_is_kept_in_the_store_while_it_is_one_and_takes_no_room_from_a_way_back(
    tmp_path: Path,
) -> None:
    node = WatchedNode(tmp_path)
    for number in (1, 2):
        node.now += 3.0
        node.head(node.version(number))
        node.step()
    for share in (0.1, 0.2, 0.3):
        node.head(node.version(2), beside(node.version(3), share))
        node.step()
    kept = {path.name for path in (tmp_path / "store").iterdir()}
    assert kept == {node.version(number).digest for number in (1, 2, 3)}
    node.close()


def test_a_node_that_starts_again_serves_the_split_with_the_ledger_away(node: WatchedNode) -> None:
    split(node)
    node.watcher.close()
    node.worker.close()
    node.ledger.away = True
    node.watcher, node.worker = node.started(), FakeWorker(node.home, FakeLoader())
    node.step()
    assert node.worker.answers() == (2, node.version(1).digest)
    assert arm(node) == node.version(2).digest


def test_an_arm_that_was_damaged_on_disk_is_fetched_again(node: WatchedNode) -> None:
    split(node)
    two = node.version(2)
    (node.home / "store" / two.digest / "files" / "model.onnx").write_bytes(b"rot")
    node.watcher.close()
    node.watcher = node.started()
    node.step()
    assert node.watcher.intake.store.holds(two.digest)
    assert (node.worker.answers()[0], arm(node)) == (2, two.digest)


def test_a_worker_that_could_not_load_the_arm_goes_on_with_what_serves(node: WatchedNode) -> None:
    split(node)
    node.worker.close()
    node.worker = FakeWorker(node.home, FakeLoader(broken={node.version(2).digest}))
    assert (node.worker.answers(), arm(node)) == ((2, node.version(1).digest), None)


def test_with_a_memory_budget_an_arm_is_loaded_at_its_first_use(node: WatchedNode) -> None:
    split(node)
    one_more(node, Residents(budget_mb=10))
    assert node.worker.loader.loaded == []
    assert node.worker.answers() == (2, node.version(1).digest)
    assert arm(node) == node.version(2).digest
    before = node.held().current
    node.head(node.version(1))
    node.step()
    assert before
    assert before.arm
    assert node.worker.manager.beside(before.arm) is None, "what has ended is not loaded again"


def test_with_a_memory_budget_an_arm_is_loaded_ahead_of_a_flip_where_the_model_is_used(
    node: WatchedNode,
) -> None:
    one_more(node, Residents(budget_mb=10))
    node.worker.answers()
    split(node)
    assert node.worker.loader.loaded == [node.version(1).digest, node.version(2).digest]


def test_a_shadow_comes_and_goes_like_a_split(node: WatchedNode) -> None:
    node.head(node.version(1), beside(node.version(2), 0.2, role=Role.SHADOW))
    node.step()
    assert (node.worker.answers(), arm(node)) == (
        (2, node.version(1).digest),
        node.version(2).digest,
    )
