"""A version on disk that no registry named: alone, or as the fallback of an empty node."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry.errors import SettingsError
from registry.ledger import Key
from serving.node.directory import Directory
from tests.servingfakes.versions import folder
from tests.servingfakes.watched import WatchedNode


def test_the_folders_name_is_the_model_and_its_version(tmp_path: Path) -> None:
    aspired = Directory(folder(tmp_path / "iris@12", b"x")).aspired
    assert (aspired.model, aspired.route and aspired.route.version) == ("iris", 12)
    plain = Directory(folder(tmp_path / "wine", b"x")).aspired
    assert (plain.model, plain.route and plain.route.version, plain.key) == ("wine", 0, Key(0, 1))


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected the directory of a version"):
        Directory(tmp_path / "missing")


@pytest.fixture
def node(tmp_path: Path) -> WatchedNode:
    return WatchedNode(tmp_path, fallback=folder(tmp_path / "fallback" / "iris@0", b"fallback"))


def test_an_empty_node_serves_the_fallback_while_the_ledger_is_away(node: WatchedNode) -> None:
    node.ledger.away = True
    node.step()
    assert node.worker.answers()[0] == 1
    shown = node.worker.manager.models()["iris"]
    assert shown.held.refused == "the fallback directory serves: nothing else could be reached"
    assert shown.answering
    assert not shown.answering.in_ledger
    node.close()


def test_the_first_entry_replaces_the_fallback(node: WatchedNode) -> None:
    node.ledger.away = True
    node.step()
    node.ledger.away = False
    node.head(node.version(1))
    node.step()
    assert node.worker.answers() == (1, node.version(1).digest)
    assert (node.held().refused, node.held().key) == ("", Key(1, 1))
    node.close()


def test_a_node_that_served_something_before_never_falls_back(node: WatchedNode) -> None:
    node.head(node.version(1))
    node.step()
    node.ledger.away = True
    for _ in range(3):
        node.step()
    assert node.worker.answers() == (1, node.version(1).digest)
    assert node.held().refused == ""
    node.close()


def test_a_reachable_ledger_without_entries_is_no_reason_to_fall_back(node: WatchedNode) -> None:
    node.step()
    assert node.watcher.flipper.models == {}
    node.close()


def test_a_fallback_that_fails_its_trial_is_refused(node: WatchedNode) -> None:
    assert node.watcher.fallback
    [aspired] = node.watcher.fallback.news()
    node.watcher.fallback.told = False  # type: ignore[attr-defined]
    node.trial.refused = {aspired.digest}
    node.ledger.away = True
    node.step()
    assert "v0 refused: answers NaN" in node.held().refused
    node.close()
    shutil.rmtree(node.home / "store")
