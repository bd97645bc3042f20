"""The watcher, step by step: a ledger that is a list, trials that are told what to find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import BatonError, SettingsError, UnknownModel, Unreachable
from tests.servingfakes.watched import WatchedNode
from tests.servingfakes.workers import FakeLoader, FakeWorker


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WatchedNode]:
    made = WatchedNode(tmp_path)
    yield made
    made.close()


def test_the_first_head_is_fetched_tried_stored_and_served(node: WatchedNode) -> None:
    one = node.version(1)
    node.head(one)
    node.step()
    assert node.worker.answers() == (1, one.digest)
    assert node.trial.tried == [one.digest]
    assert node.watcher.intake.store.holds(one.digest)
    assert node.ledger.told[-1]["models"]["iris"] == {
        "version": 1,
        "seq": "1.1",
        "refused": "",
        "refused_seq": None,
    }


def test_a_poll_is_one_query_whatever_the_number_of_models(node: WatchedNode) -> None:
    for number in range(1, 6):
        node.head(node.version(number), model=f"m{number}")
    node.step()
    polls = node.ledger.polls
    node.step()
    assert node.ledger.polls == polls + 1
    assert node.worker.answers("m5")[1] == node.version(5).digest


def test_a_refused_version_leaves_the_old_one_and_is_tried_again_only_when_it_is_time(
    node: WatchedNode,
) -> None:
    one, two = node.version(1), node.version(2)
    node.head(one)
    node.step()
    node.trial.refused = {two.digest}
    node.head(two)
    node.step()
    assert node.worker.answers() == (1, one.digest)
    assert node.held().refused == "v2 refused: answers NaN"
    told = node.ledger.told[-1]["models"]["iris"]
    assert (told["refused"], told["refused_seq"]) == ("v2 refused: answers NaN", "1.2")
    node.now = 1.9
    node.step()
    assert node.trial.tried.count(two.digest) == 1
    node.now, node.trial.refused = 2.0, set()
    node.step()
    assert (node.worker.answers(), node.held().refused) == ((2, two.digest), "")


def test_a_version_that_a_worker_cannot_load_is_refused_and_tried_again(node: WatchedNode) -> None:
    one, two = node.version(1), node.version(2)
    node.head(one)
    node.step()
    node.loader.broken = {two.digest}
    node.head(two)
    node.step()
    assert node.worker.answers() == (1, one.digest)
    assert "a worker could not load v2" in node.held().refused
    node.now, node.loader.broken = 10.0, ()
    node.step()
    assert node.worker.answers() == (2, two.digest)
    assert node.trial.tried.count(two.digest) == 1, "what is in the store was tried before"


def test_a_damaged_source_is_refused_with_its_reason(node: WatchedNode) -> None:
    one = node.version(1)
    node.head(one)
    (Path(one.source) / "model.onnx").write_bytes(b"another")
    node.step()
    assert "v1 refused: model.onnx: expected sha256" in node.held().refused
    assert node.trial.tried == []


@pytest.mark.parametrize("trouble", [Unreachable, SettingsError])
def test_serving_goes_on_while_the_ledger_is_away_or_of_another_schema(
    node: WatchedNode, trouble: type[BatonError]
) -> None:
    one, two = node.version(1), node.version(2)
    node.head(one)
    node.step()
    node.ledger.away, node.ledger.trouble = True, trouble
    node.head(two)
    for node.now in range(86_400):
        if node.now % 3_600 == 0:
            node.step()
    assert node.worker.answers() == (1, one.digest)
    node.ledger.away = False
    node.step()
    assert node.worker.answers() == (2, two.digest)


def test_a_rollback_does_not_wait_for_a_version_that_loads(node: WatchedNode) -> None:
    for number in (1, 2):
        node.head(node.version(number))
        node.step()
    node.trial.gate.clear()
    node.head(node.version(3))
    node.step(wait=False)
    assert node.watcher.is_busy
    node.head(node.version(1))
    node.step(wait=False)
    assert node.worker.answers() == (4, node.version(1).digest)
    node.trial.gate.set()
    node.step()
    assert node.worker.answers() == (4, node.version(1).digest), "what loaded late is no head"


def test_of_many_promotions_at_once_a_few_are_loaded_and_the_last_one_wins(
    node: WatchedNode,
) -> None:
    node.trial.gate.clear()
    for number in range(1, 101):
        node.head(node.version(number))
        node.step(wait=False)
    node.trial.gate.set()
    node.step()
    node.now += 3.0
    node.step()
    assert node.worker.answers() == (100, node.version(100).digest)
    assert len(node.trial.tried) <= 2, "what was overtaken before its trial is not tried"


def test_a_watcher_that_starts_again_serves_on_and_loads_nothing_twice(node: WatchedNode) -> None:
    one = node.version(1)
    node.head(one)
    node.step()
    node.watcher.close()
    node.watcher = node.started()
    node.step()
    assert node.worker.answers() == (1, one.digest)
    assert (node.trial.tried, node.loader.loaded) == ([one.digest], [one.digest])


def test_only_the_models_a_node_is_meant_to_serve_are_followed(tmp_path: Path) -> None:
    node = WatchedNode(tmp_path, "iris", "later")
    node.head(node.version(1), model="iris")
    node.head(node.version(2), model="other")
    node.step()
    assert set(node.worker.manager.models()) == {"iris", "later"}
    node.close()


def test_versions_that_nothing_needs_leave_the_store_and_those_in_use_never(
    node: WatchedNode,
) -> None:
    for number in range(1, 8):
        node.now += 3.0
        node.head(node.version(number))
        node.step()
    kept = {path.name for path in (node.home / "store").iterdir()}
    assert kept == {node.version(6).digest, node.version(7).digest}


def test_a_version_that_was_overtaken_while_it_loaded_does_not_stay_for_ever(
    node: WatchedNode,
) -> None:
    node.trial.gate.clear()
    node.head(node.version(1))
    node.step(wait=False)
    node.head(node.version(2))
    node.trial.gate.set()
    for number in (3, 4, 5):
        node.step()
        node.head(node.version(number))
    node.step()
    assert node.version(1).digest not in {path.name for path in (node.home / "store").iterdir()}


def test_a_version_in_use_that_was_damaged_on_disk_is_fetched_again(node: WatchedNode) -> None:
    """Else a node that starts with it would never serve it again."""
    one = node.version(1)
    node.head(one)
    node.step()
    (node.home / "store" / one.digest / "files" / "model.onnx").write_bytes(b"rot")
    node.watcher.close()
    node.watcher = node.started()
    node.worker.close()
    node.worker = FakeWorker(node.home, FakeLoader(broken={one.digest}))
    node.worker.loader.broken = ()
    node.step()
    assert node.watcher.intake.store.holds(one.digest)
    assert node.worker.answers() == (1, one.digest)


def test_a_status_that_cannot_be_written_is_written_later(node: WatchedNode) -> None:
    node.head(node.version(1))
    node.step()
    told = len(node.ledger.told)
    node.now, node.ledger.away = 6.0, True
    node.step()
    node.now, node.ledger.away = 6.1, False
    node.step()
    assert len(node.ledger.told) == told + 1


def test_a_retired_model_is_unknown_until_a_later_entry_serves_it_again(node: WatchedNode) -> None:
    one = node.version(1)
    node.head(one)
    node.step()
    node.retire()
    node.step()
    with pytest.raises(UnknownModel, match=r"iris was retired \(seq 1.2\); promote a version"):
        node.worker.answers()
    assert node.ledger.told[-1]["models"]["iris"]["version"] is None
    assert node.ledger.told[-1]["models"]["iris"]["seq"] == "1.2"
    node.head(one)
    node.step()
    assert node.worker.answers() == (3, one.digest)


def test_a_retirement_outlives_the_watcher(node: WatchedNode) -> None:
    node.head(node.version(1))
    node.step()
    node.retire()
    node.step()
    node.watcher.close()
    node.watcher = node.started()
    node.step()
    with pytest.raises(UnknownModel, match="retired"):
        node.worker.answers()


def test_models_are_fetched_side_by_side_and_the_same_bytes_once(node: WatchedNode) -> None:
    for number in range(1, 9):
        node.head(node.version(number % 4 + 1), model=f"m{number}")
    node.step()
    assert len(node.trial.tried) == 4
    for number in range(1, 9):
        assert node.worker.answers(f"m{number}") == (1, node.version(number % 4 + 1).digest)
