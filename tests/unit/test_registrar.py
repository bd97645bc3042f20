"""What people do in MLflow's UI, and what the registrar makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from registry.ledger import BEGINNING, Door, Entry, Position
from registry.model_version import ModelVersion, Stage
from registry.policy import Adoption, MetricRule, Policy
from registry.projection import project
from registry.promotion import promote
from registry.registrar import BY_HAND
from tests.fakes import World

PICKY = Policy(rules=(MetricRule(gate="bound", metric="accuracy", min=0.99),))


def rejection(world: World, version: ModelVersion) -> str:
    """Why a version was put back; empty if it was not."""
    return world.tags(version).get("baton.rejected", "")


def test_pending_entries_are_drawn(world: World) -> None:
    promote(world.ports, world.train("iris"), actor="ada")
    promote(world.ports, world.train("petr4"), actor="ada")
    world.registrar()
    assert world.shown("iris") == world.shown("petr4") == ([1], 1)


def test_a_poll_reads_only_the_heads_that_moved(world: World) -> None:
    """A thousand models are no reason to read a thousand manifests every second."""
    read: list[list[str]] = []
    heads = world.ledger.heads

    def counted(*, since: Position = BEGINNING) -> Sequence[Entry]:
        found = heads(since=since)
        read.append([entry.model for entry in found])
        return found

    world.ledger.heads = counted  # type: ignore[method-assign]
    promote(world.ports, world.train("iris"), actor="ada")
    promote(world.ports, world.train("petr4"), actor="ada")
    registrar = world.registrar()
    registrar.step()
    read.clear()
    registrar.step()
    assert not any(read)
    promote(world.ports, world.train("iris"), actor="ada")
    registrar.step()
    assert [name for names in read for name in names] == ["iris"]
    assert world.shown("iris") == ([2], 2)


def test_an_entry_that_a_command_drew_is_not_pending(world: World) -> None:
    registrar = world.registrar()
    promote(world.ports, world.train(), actor="ada")
    assert [entry.model for entry in registrar._heads.pending()] == ["iris"]
    project(world.ports, "iris")
    registrar.step()
    assert list(registrar._heads.pending()) == []
    assert world.shown() == ([1], 1)


def test_an_entry_that_the_registrar_drew_is_pending_no_more(world: World) -> None:
    registrar = world.registrar()
    promote(world.ports, world.train(), actor="ada")
    assert [entry.model for entry in registrar._heads.pending()] == ["iris"]
    registrar.step()
    assert list(registrar._heads.pending()) == []


@pytest.mark.parametrize("archive", [True, False])
def test_a_click_in_mlflow_becomes_an_entry(world: World, archive: bool) -> None:
    world.trained_and_served()
    registrar, second = world.registrar(), world.train()
    world.click(second, archive=archive)
    registrar.step()
    head = world.ledger.head("iris")
    assert head is not None
    assert (head.route.version, head.door, head.actor) == (2, Door.MLFLOW, BY_HAND)
    assert world.shown() == ([2], 2)
    assert world.knocks == 1
    registrar.step()
    assert len(world.ledger.history("iris")) == 2, "nothing is left to adopt"


def test_a_first_click_on_a_model_nobody_promoted_becomes_an_entry(world: World) -> None:
    registrar = world.registrar()
    world.click(world.train())
    registrar.step()
    assert world.serving() == 1
    assert world.shown() == ([1], 1)


def test_a_moved_alias_becomes_an_entry(world: World) -> None:
    world.trained_and_served()
    world.train()
    registrar = world.registrar()
    world.client.point("iris", 2)
    registrar.step()
    assert world.serving() == 2
    assert world.shown() == ([2], 2)


def test_a_click_on_a_lower_number_is_seen(world: World) -> None:
    first, _ = world.trained_and_served(), world.trained_and_served()
    registrar = world.registrar()
    world.click(first)
    registrar.step()
    assert world.serving() == 1
    assert world.shown() == ([1], 1)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("was", [Stage.NONE, Stage.STAGING])
def test_a_refused_click_is_put_back_with_the_reason(
    world: World, archive: bool, was: Stage
) -> None:
    world.trained_and_served()
    registrar, second = world.registrar(), world.train()
    world.click(second, was)
    registrar.step()
    world.policies["iris"] = PICKY
    picky = world.registrar()
    world.click(second, archive=archive)
    picky.step()
    assert world.serving() == 1
    assert world.shown() == ([1], 1)
    assert world.client.version("iris", 2).stage is was
    assert "accuracy" in rejection(world, second)
    picky.step()
    assert len(world.ledger.history("iris")) == 1


def test_a_refused_alias_is_put_back(world: World) -> None:
    world.trained_and_served()
    second = world.train(content="broken")
    registrar = world.registrar()
    world.client.point("iris", 2)
    registrar.step()
    assert world.shown() == ([1], 1)
    assert "signal 11" in rejection(world, second)


def test_a_refused_first_click_leaves_nothing_in_production(world: World) -> None:
    registrar, version = world.registrar(), world.train(content="broken")
    world.click(version)
    registrar.step()
    assert world.serving() is None
    assert world.shown() == ([], None)
    assert rejection(world, version)


def test_stage_and_alias_that_disagree_are_both_refused(world: World) -> None:
    world.trained_and_served()
    second, third = world.train(), world.train()
    registrar = world.registrar()
    world.click(second)
    world.client.point("iris", 3)
    registrar.step()
    assert world.serving() == 1
    assert world.shown() == ([1], 1)
    assert "v2 and v3" in rejection(world, second) == rejection(world, third)


def test_stage_and_alias_that_agree_are_one_change(world: World) -> None:
    world.trained_and_served()
    world.train()
    registrar = world.registrar()
    world.click(world.client.version("iris", 2))
    world.client.point("iris", 2)
    registrar.step()
    assert world.serving() == 2
    assert len(world.ledger.history("iris")) == 2


def test_of_two_clicks_the_later_one_counts(world: World) -> None:
    world.trained_and_served()
    second, third = world.train(), world.train()
    registrar = world.registrar()
    world.click(third)
    world.click(second)
    registrar.step()
    assert world.shown() == ([2], 2)


def test_a_policy_may_deny_clicks(world: World) -> None:
    world.trained_and_served()
    world.policies["iris"] = Policy(adoption=Adoption.DENY)
    registrar, second = world.registrar(), world.train()
    world.click(second)
    registrar.step()
    assert world.shown() == ([1], 1)
    assert "denies changes by hand" in rejection(world, second)
    assert len(world.trial.tried) == 1, "not even tried"


def test_a_policy_may_trust_clicks_but_never_one_that_does_not_load(world: World) -> None:
    world.trained_and_served()
    world.policies["iris"] = Policy(adoption=Adoption.TRUST, rules=PICKY.rules)
    registrar, second = world.registrar(), world.train()
    world.click(second)
    registrar.step()
    assert world.shown() == ([2], 2)
    assert "policy is trust" in world.client.reports["baton/iris/v2"]["report.md"]
    world.click(world.train(content="broken"))
    registrar.step()
    assert world.shown() == ([2], 2)


def test_other_stages_are_peoples_own_business(world: World) -> None:
    world.trained_and_served()
    registrar, second = world.registrar(), world.train()
    world.click(second, Stage.STAGING)
    registrar.step()
    assert world.client.version("iris", 2).stage is Stage.STAGING
    assert len(world.ledger.history("iris")) == 1
    assert rejection(world, second) == ""


def test_production_taken_away_by_hand_goes_on_serving(world: World) -> None:
    first = world.trained_and_served()
    registrar = world.registrar()
    world.click(first, Stage.ARCHIVED)
    registrar.step()
    assert world.serving() == 1
    assert world.shown() == ([], 1)
    world.click(first)
    registrar.step()
    assert world.shown() == ([1], 1)
    assert len(world.ledger.history("iris")) == 1
