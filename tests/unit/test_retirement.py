"""Taking Production away, over fakes and a real ledger on sqlite."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from registry.errors import ForeignLedger, LostRace, NothingToServe, UnknownName
from registry.gates import Status
from registry.ledger import Door, EntryKind, Key, Ledger
from registry.model_version import Stage
from registry.policy import MetricRule, Policy
from registry.projection import project
from registry.promotion import promote
from registry.withdrawal import retire, rollback
from tests.fakes import Meanwhile, World


def retired(world: World, model: str = "iris") -> None:
    """As the command does it."""
    retire(world.ports, model, actor="ada")
    project(world.ports, model)


def test_a_retired_model_has_nothing_in_production(world: World) -> None:
    world.trained_and_served()
    entry = retire(world.ports, "iris", actor="bob", reason="nobody asks for it")
    project(world.ports, "iris")
    assert (entry.key, entry.kind, entry.routes) == (Key(1, 2), EntryKind.RETIRE, ())
    assert (entry.route, entry.digest) == (None, "")
    assert (entry.actor, entry.door, entry.reason) == ("bob", Door.COMMAND, "nobody asks for it")
    assert world.serving() is None
    assert world.shown() == ([], None)
    assert world.client.version("iris", 1).stage is Stage.ARCHIVED


def test_retiring_archives_every_production_version_and_no_other_stage(world: World) -> None:
    world.trained_and_served()
    second, third = world.train(), world.train()
    world.click(second)
    world.click(third, Stage.STAGING)
    retired(world)
    stages = {v.version: v.stage for v in world.client.versions("iris")}
    assert stages == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.STAGING}


def test_retiring_twice_or_what_never_served_moves_nothing(world: World) -> None:
    world.train()
    with pytest.raises(NothingToServe, match="nothing was ever promoted"):
        retire(world.ports, "iris", actor="ada")
    world.serve(world.client.version("iris"))
    retired(world)
    with pytest.raises(NothingToServe, match=r"retired already, since seq 1\.2"):
        retire(world.ports, "iris", actor="ada")
    assert len(world.ledger.history("iris")) == 2


def test_what_was_retired_can_be_promoted_again_as_for_the_first_time(world: World) -> None:
    rule = MetricRule(gate="not_worse", metric="accuracy", min_ratio=0.9)
    world.policies["iris"] = Policy(rules=(rule,))
    version = world.trained_and_served()
    retired(world)
    promoted = promote(world.ports, version, actor="ada")
    project(world.ports, "iris")
    assert promoted.entry is not None
    assert promoted.entry.key == Key(1, 3)
    assert promoted.report.current is None
    compared = {r.gate: r.status for r in promoted.report.results}["not_worse:accuracy"]
    assert compared is Status.SKIPPED
    assert world.shown() == ([1], 1)


def test_a_rollback_goes_back_to_what_served_before_it_was_retired(world: World) -> None:
    world.trained_and_served()
    world.trained_and_served()
    retired(world)
    entry = rollback(world.ports, "iris", actor="ada", to=None)
    project(world.ports, "iris")
    assert entry.reason == "back after it was retired"
    assert world.shown() == ([2], 2)
    assert rollback(world.ports, "iris", actor="ada", to=None).digest != entry.digest
    assert world.serving() == 1


def test_a_rollback_after_a_retirement_may_name_what_served(world: World) -> None:
    world.trained_and_served()
    world.trained_and_served()
    retired(world)
    with pytest.raises(UnknownName, match="there is: 1, 2"):
        rollback(world.ports, "iris", actor="ada", to=3)
    rollback(world.ports, "iris", actor="ada", to=2)
    assert world.serving() == 2


def test_a_click_on_a_retired_model_is_judged_and_adopted(world: World) -> None:
    version = world.trained_and_served()
    retired(world)
    registrar = world.registrar()
    assert world.shown() == ([], None)
    world.click(version)
    registrar.step()
    assert world.serving() == 1
    assert world.shown() == ([1], 1)


def test_a_refused_click_on_a_retired_model_is_put_back(world: World) -> None:
    world.trained_and_served()
    retired(world)
    registrar, bad = world.registrar(), world.train(content="broken")
    world.click(bad)
    registrar.step()
    assert world.serving() is None
    assert world.shown() == ([], None)
    assert "signal 11" in world.tags(bad)["baton.rejected"]


def test_a_click_while_it_is_retired_is_not_lost(world: World) -> None:
    world.trained_and_served()
    second = world.train()
    retire(world.ports, "iris", actor="ada")
    world.client.after_next("set_stage", lambda: world.click(second))
    registrar = world.registrar()
    registrar.step()
    assert world.shown() == ([2], 2)


def test_a_head_that_moves_while_it_is_retired_wins(world: World) -> None:
    world.trained_and_served()
    second = world.train()
    ledger = Meanwhile(world.ledger, "history", lambda: world.serve(second))
    with pytest.raises(LostRace):
        retire(dataclasses.replace(world.ports, ledger=cast("Ledger", ledger)), "iris", actor="ada")
    assert world.serving() == 2


def test_a_model_that_was_deleted_in_mlflow_can_be_retired(world: World) -> None:
    world.trained_and_served()
    world.client.delete_model("iris")
    retired(world)
    head = world.ledger.head("iris")
    assert head is not None
    assert (head.route, head.snapshot is not None) == (None, True)


def test_a_version_deleted_while_it_is_retired_stops_no_other(world: World) -> None:
    world.trained_and_served()
    second = world.train()
    world.click(second)
    retire(world.ports, "iris", actor="ada")
    world.client.after_next("set_stage", lambda: world.client.delete_version("iris", 1))
    project(world.ports, "iris")
    assert world.shown() == ([], None)


def test_a_retired_model_of_another_ledger_is_left_alone(world: World) -> None:
    world.trained_and_served()
    world.client.tag_model("iris", "baton.ledger", "another")
    with pytest.raises(ForeignLedger, match="another"):
        retire(world.ports, "iris", actor="ada")
    assert world.serving() == 1
