"""Killed before and after every call to registry or ledger: the next registrar finishes.

Each case runs one change of Production again and again, ended at point 1, 2, 3 … until it comes
through. After each end a fresh registrar, once the lease fell silent, must leave the old or the new
state, whole: one Production version (the ledger's head), the alias on it, the snapshot true, the
chain unbroken, nothing left to do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import GatesRefused
from registry.ledger import Snapshot
from registry.model_version import Stage
from registry.policy import Adoption, MetricRule, Policy
from registry.projection import project, settle
from registry.promotion import REJECTED_TAG, Ports, promote
from registry.withdrawal import retire, rollback
from tests.fakes import World
from tests.fakes.survival import Setting, step, survives

# On a slow machine the lease's thread may be the one that is struck.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
PICKY = (MetricRule(gate="bound", metric="accuracy", min=0.99),)


def two_served(world: World) -> None:
    """v1 served before, v2 serves."""
    world.trained_and_served()
    world.trained_and_served()


def test_a_promotion(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        world.train()

    def action(world: World, ports: Ports) -> None:
        entry = promote(ports, ports.client.version("iris", 2), actor="ada").entry
        assert entry
        assert settle(ports, entry, seconds=60)

    points = survives(tmp_path, setting, action, may_end={1, 2}, new=2)
    assert points[0].startswith("before")
    assert {"after append", "after set_stage", "after set_alias", "after mark_synced"} <= {*points}
    assert len(points) > 20


def test_a_first_promotion(tmp_path: Path) -> None:
    def action(world: World, ports: Ports) -> None:
        entry = promote(ports, ports.client.version("iris"), actor="ada").entry
        assert entry
        assert settle(ports, entry, seconds=60)

    survives(tmp_path, lambda world: world.train(), action, may_end={None, 1}, new=1)


def test_a_refused_promotion(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        world.train(content="broken")

    def action(world: World, ports: Ports) -> None:
        with pytest.raises(GatesRefused):
            promote(ports, ports.client.version("iris", 2), actor="ada")

    survives(tmp_path, setting, action, may_end={1}, new=1)


def test_a_rollback(tmp_path: Path) -> None:
    def action(world: World, ports: Ports) -> None:
        assert settle(ports, rollback(ports, "iris", actor="ada", to=None), seconds=60)

    survives(tmp_path, two_served, action, may_end={1, 2}, new=1)


def test_a_retirement(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        two_served(world)
        world.click(world.client.version("iris", 1))

    def action(world: World, ports: Ports) -> None:
        assert settle(ports, retire(ports, "iris", actor="ada"), seconds=60)

    survives(tmp_path, setting, action, may_end={2, 1, None}, new=None)


def test_a_promotion_after_a_retirement(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        retire(world.ports, "iris", actor="ada")
        project(world.ports, "iris")

    def action(world: World, ports: Ports) -> None:
        entry = promote(ports, ports.client.version("iris"), actor="ada").entry
        assert entry
        assert settle(ports, entry, seconds=60)

    survives(tmp_path, setting, action, may_end={None, 1}, new=1)


@pytest.mark.parametrize("change", ["promote", "rollback", "retire"])
def test_the_registrar_while_it_draws_an_entry(tmp_path: Path, change: str) -> None:
    def setting(world: World) -> None:
        two_served(world)
        if change == "promote":
            promote(world.ports, world.train(), actor="ada")
        elif change == "rollback":
            rollback(world.ports, "iris", actor="ada", to=None)
        else:
            retire(world.ports, "iris", actor="ada")

    serves = {"promote": 3, "rollback": 1, "retire": None}[change]
    survives(tmp_path, setting, step, may_end={serves}, new=serves)


CLICKS = {
    "without archiving": lambda world: world.click(world.client.version("iris", 2)),
    "archiving": lambda world: world.click(world.client.version("iris", 2), archive=True),
    "the alias": lambda world: world.client.point("iris", 2),
    "stage and alias": lambda world: (
        world.click(world.client.version("iris", 2), archive=True),
        world.client.point("iris", 2),
    ),
}


def clicked(how: str, policy: Policy, **bundle: str) -> Setting:
    """v1 serves, and v2 was clicked; `bundle` goes to its files."""

    def setting(world: World) -> None:
        world.trained_and_served()
        world.click(world.train(**bundle), Stage.STAGING)
        world.registrar()
        world.policies["iris"] = policy
        CLICKS[how](world)

    return setting


TRUST, DENY = Policy(adoption=Adoption.TRUST, rules=PICKY), Policy(adoption=Adoption.DENY)
# Policies decide in one place, however the click was made: one of each kind is enough.
PASS = [*((how, Policy()) for how in CLICKS), ("archiving", TRUST)]
REFUSE = [*((how, Policy(rules=PICKY)) for how in CLICKS), ("archiving", DENY)]


@pytest.mark.parametrize(("how", "policy"), PASS)
def test_a_click_that_is_adopted(tmp_path: Path, how: str, policy: Policy) -> None:
    survives(tmp_path, clicked(how, policy), step, may_end={2}, new=2)


@pytest.mark.parametrize(("how", "policy"), REFUSE)
def test_a_click_that_is_put_back(tmp_path: Path, how: str, policy: Policy) -> None:
    def action(world: World, ports: Ports) -> None:
        try:
            step(world, ports)
        finally:
            world_of.append(world)

    world_of: list[World] = []
    survives(tmp_path, clicked(how, policy), action, may_end={1}, new=1)
    for world in world_of:
        second = world.client.version("iris", 2)
        assert second.stage is Stage.STAGING, "where it was before the click"
        assert second.tags[REJECTED_TAG]


def test_a_first_click_that_is_put_back(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.click(world.train(content="broken"))

    survives(tmp_path, setting, step, may_end={None}, new=None)


def test_of_two_clicks_that_are_put_back_none_is_adopted(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        clicked("archiving", Policy(rules=PICKY))(world)
        world.click(world.train())

    survives(tmp_path, setting, step, may_end={1}, new=1)


def test_two_models_at_once(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.click(world.train("petr4"))
        clicked("archiving", Policy())(world)

    survives(tmp_path, setting, step, may_end={2}, new=2)


# That the harness can fail.


def test_a_projection_that_says_synced_before_it_draws_is_caught(tmp_path: Path) -> None:
    def hasty(world: World, ports: Ports) -> None:
        head = ports.ledger.head("iris")
        assert head
        ports.ledger.mark_synced(head, Snapshot({1: "Archived", 2: "Production"}, 2))
        ports.client.set_stage(
            world.client.version("iris", 2), Stage.PRODUCTION, archive_others=True
        )
        ports.client.set_alias("iris", 2)

    def setting(world: World) -> None:
        world.trained_and_served()
        promote(world.ports, world.train(), actor="ada")

    with pytest.raises(AssertionError, match="after mark_synced"):
        survives(tmp_path, setting, hasty, may_end={2}, new=2)


def test_putting_back_the_refused_version_first_is_caught(tmp_path: Path) -> None:
    def careless(world: World, ports: Ports) -> None:
        for number, stage in ((2, Stage.STAGING), (1, Stage.PRODUCTION)):
            version = world.client.version("iris", number)
            ports.client.set_stage(version, stage, archive_others=False)

    with pytest.raises(AssertionError, match="after set_stage: MLflow shows"):
        survives(tmp_path, clicked("archiving", Policy(rules=PICKY)), careless, may_end={1}, new=1)


def test_two_entries_for_one_click_are_caught(tmp_path: Path) -> None:
    def forgetful(world: World, ports: Ports) -> None:
        promote(ports, world.client.version("iris", 2), actor="ada")
        promote(ports, world.client.version("iris", 1), actor="ada")

    with pytest.raises(AssertionError, match="v1 serves"):
        survives(tmp_path, clicked("archiving", Policy()), forgetful, may_end={2}, new=2)
