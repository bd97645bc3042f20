"""Rolling back, over fakes and a real ledger on sqlite."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import (
    BundleInvalid,
    NothingToServe,
    UnknownName,
)
from registry.ledger import EntryKind
from registry.policy import MetricRule, Policy
from registry.projection import project
from registry.withdrawal import rollback
from tests.fakes import World

PICKY = Policy(rules=(MetricRule(gate="bound", metric="accuracy", min=0.99),))


def test_rolling_back_goes_to_the_version_before(world: World) -> None:
    first, second = world.trained_and_served(), world.trained_and_served()
    entry = rollback(world.ports, "iris", actor="bob", to=None)
    project(world.ports, "iris")
    assert (entry.kind, entry.route.version) == (EntryKind.ROLLBACK, first.version)
    assert entry.reason == f"rolled back from v{second.version}"
    assert world.shown() == ([1], 1)


def test_rolling_back_twice_does_not_go_forth_again(world: World) -> None:
    for _ in range(3):
        world.trained_and_served()
    versions = [rollback(world.ports, "iris", actor="b", to=None).route.version for _ in range(2)]
    assert versions == [2, 1]
    with pytest.raises(NothingToServe, match="--to VERSION"):
        rollback(world.ports, "iris", actor="bob", to=None)
    assert world.serving() == 1


def test_a_rollback_with_nothing_before_moves_nothing(world: World) -> None:
    world.train()
    with pytest.raises(NothingToServe, match="nothing was ever promoted"):
        rollback(world.ports, "iris", actor="bob", to=None)
    world.serve(world.client.version("iris"))
    with pytest.raises(NothingToServe):
        rollback(world.ports, "iris", actor="bob", to=None)
    assert len(world.ledger.history("iris")) == 1


def test_a_rollback_may_name_any_version_that_served(world: World) -> None:
    for _ in range(3):
        world.trained_and_served()
    world.train()
    assert rollback(world.ports, "iris", actor="bob", to=1).route.version == 1
    assert rollback(world.ports, "iris", actor="bob", to=3).route.version == 3
    with pytest.raises(UnknownName, match=r"'4'; there is: 1, 2, 3"):
        rollback(world.ports, "iris", actor="bob", to=4)


def test_rolling_back_to_what_serves_moves_nothing(world: World) -> None:
    world.trained_and_served()
    world.trained_and_served()
    with pytest.raises(NothingToServe, match="v2 serves already"):
        rollback(world.ports, "iris", actor="bob", to=2)
    assert len(world.ledger.history("iris")) == 2


def test_a_rollback_asks_no_gate(world: World) -> None:
    world.trained_and_served()
    world.trained_and_served()
    world.policies["iris"] = PICKY
    tried = list(world.trial.tried)
    assert rollback(world.ports, "iris", actor="bob", to=None).route.version == 1
    assert world.trial.tried == tried


def test_a_rollback_to_changed_bytes_is_refused(world: World) -> None:
    first = world.trained_and_served()
    world.trained_and_served()
    Path(first.source, "model.onnx").write_text("other weights")
    with pytest.raises(BundleInvalid, match=r"model\.onnx"):
        rollback(world.ports, "iris", actor="bob", to=None)
    assert world.serving() == 2


def test_a_rollback_passes_over_what_was_deleted(world: World) -> None:
    for _ in range(3):
        world.trained_and_served()
    world.client.delete_version("iris", 2)
    assert rollback(world.ports, "iris", actor="bob", to=None).route.version == 1


def test_a_rollback_passes_over_a_number_that_was_given_to_another(world: World) -> None:
    world.trained_and_served()
    world.client.delete_model("iris")
    world.train()
    world.trained_and_served()
    with pytest.raises(NothingToServe, match="still there"):
        rollback(world.ports, "iris", actor="bob", to=None)
    with pytest.raises(BundleInvalid, match="was given to another"):
        rollback(world.ports, "iris", actor="bob", to=1)
    assert world.serving() == 2


def test_a_rollback_to_a_deleted_version_says_so(world: World) -> None:
    for _ in range(3):
        world.trained_and_served()
    world.client.delete_version("iris", 2)
    with pytest.raises(BundleInvalid, match="iris v2: deleted in MLflow since it served"):
        rollback(world.ports, "iris", actor="bob", to=2)
    assert world.serving() == 3


def test_a_deleted_head_is_left_by_a_rollback(world: World) -> None:
    world.trained_and_served()
    world.trained_and_served()
    world.client.delete_version("iris", 2)
    rollback(world.ports, "iris", actor="bob", to=None)
    project(world.ports, "iris")
    assert world.shown() == ([1], 1)
