"""What the registrar does of a second version beside the one that serves: it ends, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.arms import stop
from registry.beside import ARM_TAG
from registry.errors import Unreachable
from registry.ledger import Door, EntryKind, Role
from registry.model_version import ModelVersion
from registry.policy import Adoption, MetricRule, Policy
from registry.promotion import REJECTED_TAG
from registry.registrar import ACTOR
from tests.fakes import World
from tests.fakes.survival import step, survives

DAY_SECONDS = 24 * 3600
PROMOTE, SPLIT, STOP = EntryKind.PROMOTE, EntryKind.SPLIT, EntryKind.STOP


@pytest.fixture
def other(world: World) -> ModelVersion:
    """v1 serves, v2 is registered."""
    world.trained_and_served()
    return world.train()


def kinds(world: World) -> list[EntryKind]:
    """Newest first."""
    return [entry.kind for entry in world.ledger.history("iris")]


def refuse(world: World, *nodes: str) -> None:
    """Each of these nodes refuses the head."""
    head = world.ledger.head("iris")
    assert head is not None
    held = {"version": 1, "seq": "1.1", "refused": "v2: crashed", "refused_seq": str(head.key)}
    for node in nodes:
        world.ledger.write_status(node, {"models": {"iris": held}}, at_ms=world.clock.now_ms())


@pytest.mark.parametrize("role", [Role.SPLIT, Role.SHADOW])
def test_it_ends_at_its_deadline_and_not_before(
    world: World, other: ModelVersion, role: Role
) -> None:
    arm = world.put_beside(other, role).arm
    assert arm is not None
    registrar = world.registrar()
    world.clock.ms = arm.until_ms - 1
    registrar.step()
    assert kinds(world)[0] is EntryKind(role.value)
    world.clock.ms = arm.until_ms
    registrar.step()
    head = world.ledger.head("iris")
    assert head is not None
    assert (head.kind, head.door, head.actor) == (STOP, Door.REGISTRAR, ACTOR)
    assert (head.reason, head.arm) == ("its deadline passed", None)
    assert head.snapshot == world.client.snapshot("iris")
    assert (world.serving(), world.shown(), world.knocks) == (1, ([1], 1), 1)
    assert {ARM_TAG, REJECTED_TAG}.isdisjoint(world.tags(other))
    world.clock.sleep(DAY_SECONDS)
    registrar.step()
    assert len(kinds(world)) == 3, "it ends once"


def test_a_registrar_that_was_not_there_at_the_deadline_ends_it(
    world: World, other: ModelVersion
) -> None:
    world.put_beside(other)
    world.clock.sleep(3 * DAY_SECONDS)
    world.registrar()
    assert kinds(world) == [STOP, SPLIT, PROMOTE]


def test_its_end_waits_for_no_mlflow(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    registrar = world.registrar()
    world.clock.sleep(DAY_SECONDS)
    for call in ("models", "version", "versions", "snapshot", "recent"):
        world.client.fail_next(call, times=10)
    with pytest.raises(Unreachable):
        registrar.step()
    assert kinds(world)[0] is STOP


def test_who_was_faster_is_not_contradicted(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    registrar = world.registrar()
    world.clock.sleep(DAY_SECONDS)
    heads = registrar._heads.look()
    stop(world.ports, "iris", actor="bob")
    registrar._stop(heads[0], "its deadline passed")
    assert [entry.actor for entry in world.ledger.history("iris")] == ["bob", "bob", "ada"]
    assert world.knocks == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_anywhere_at_the_deadline_the_next_one_finishes(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        world.put_beside(world.train())
        world.clock.sleep(DAY_SECONDS)

    seen: list[World] = []

    def action(world: World, ports: object) -> None:
        seen.append(world)
        step(world, ports)  # type: ignore[arg-type]

    points = survives(tmp_path, setting, action, may_end={1}, new=1)
    assert len(points) > 5
    for world in seen:
        assert kinds(world) == [STOP, SPLIT, PROMOTE]
        assert ARM_TAG not in world.tags(world.client.version("iris", 2))
        world.ledger.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_anywhere_while_it_is_drawn_the_next_one_finishes(tmp_path: Path) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        world.train()

    def action(world: World, ports: object) -> None:
        twin = world.client.version("iris", 2)
        world.put_beside(twin)
        step(world, ports)  # type: ignore[arg-type]

    assert survives(tmp_path, setting, action, may_end={1}, new=1)


def test_a_click_on_the_version_beside_promotes_it(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    registrar = world.registrar()
    world.click(other)
    registrar.step()
    head = world.ledger.head("iris")
    assert head is not None
    assert (head.kind, head.door, head.arm) == (PROMOTE, Door.MLFLOW, None)
    assert (world.serving(), world.shown()) == (2, ([2], 2))
    assert ARM_TAG not in world.tags(other)
    world.clock.sleep(DAY_SECONDS)
    registrar.step()
    assert kinds(world) == [PROMOTE, SPLIT, PROMOTE], "there is no deadline any more"


def test_a_click_at_the_deadline_is_not_lost(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    registrar = world.registrar()
    world.click(other)
    world.clock.sleep(DAY_SECONDS)
    registrar.step()
    assert kinds(world) == [PROMOTE, STOP, SPLIT, PROMOTE]
    assert (world.serving(), world.shown()) == (2, ([2], 2))


def test_a_click_that_came_before_it_was_drawn_is_not_lost(
    world: World, other: ModelVersion
) -> None:
    registrar = world.registrar()
    third = world.train()
    world.click(third)
    world.put_beside(other)
    registrar.step()
    assert world.serving() == 3


@pytest.mark.parametrize(
    "policy",
    [
        Policy(adoption=Adoption.DENY),
        Policy(rules=(MetricRule(gate="bound", metric="accuracy", min=0.99),)),
    ],
)
def test_a_click_that_is_refused_ends_nothing(
    world: World, other: ModelVersion, policy: Policy
) -> None:
    world.put_beside(other, Role.SHADOW)
    world.policies["iris"] = policy
    registrar = world.registrar()
    world.click(other, archive=True)
    registrar.step()
    assert kinds(world) == [EntryKind.SHADOW, PROMOTE]
    assert world.shown() == ([1], 1)
    assert world.tags(other)[ARM_TAG].startswith("shadow")


def test_nodes_that_refuse_it_end_it_and_not_what_serves(world: World, other: ModelVersion) -> None:
    world.trained_and_served("iris")  # v3 in the place of v1: there is something to go back to
    world.put_beside(other)
    refuse(world, "a", "b")
    registrar = world.registrar()
    head = world.ledger.head("iris")
    assert head is not None
    assert (head.kind, head.door, world.serving()) == (STOP, Door.REGISTRAR, 3)
    assert head.reason == "2 of 2 nodes refused it: a: v2: crashed; b: v2: crashed"
    assert world.tags(other)[REJECTED_TAG] == head.reason
    assert REJECTED_TAG not in world.tags(world.client.version("iris", 3))
    registrar.step()
    assert world.serving() == 3
    refuse(world, "a", "b")
    registrar.step()
    assert world.serving() == 1, "what serves is refused alone: that is another matter"


def test_one_that_some_nodes_refuse_goes_on(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    refuse(world, "a")
    held = {"version": 1, "seq": "1.2", "refused": "", "refused_seq": None}
    world.ledger.write_status("b", {"models": {"iris": held}}, at_ms=world.clock.now_ms())
    world.registrar()
    assert kinds(world) == [SPLIT, PROMOTE]


def test_nodes_that_refuse_it_are_heard_while_mlflow_is_away(
    world: World, other: ModelVersion
) -> None:
    world.put_beside(other)
    registrar = world.registrar()
    refuse(world, "a")
    for call in ("models", "version", "versions", "snapshot", "recent"):
        world.client.fail_next(call, times=10)
    with pytest.raises(Unreachable):
        registrar.step()
    assert kinds(world)[0] is STOP
