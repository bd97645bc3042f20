"""A second version beside the one that serves: how it comes there, and what ends it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from registry.arms import Plan, begin, stop
from registry.beside import ARM_TAG
from registry.errors import (
    ForeignLedger,
    GatesRefused,
    LostRace,
    NothingToServe,
    Refused,
    UnknownName,
    UsageError,
)
from registry.ledger import Door, EntryKind, Role
from registry.model_version import ModelVersion
from registry.policy import MetricRule, Policy
from registry.projection import project
from registry.promotion import LEDGER_TAG, REJECTED_TAG, promote
from registry.views import brief, status_row
from registry.withdrawal import retire, rollback
from tests.fakes import World

PICKY = Policy(rules=(MetricRule(gate="bound", metric="accuracy", min=0.99),))
HOUR_MS = 3_600_000
SPLIT, SHADOW = Plan(role=Role.SPLIT, percent=10), Plan(role=Role.SHADOW, percent=20)


@pytest.fixture
def other(world: World) -> ModelVersion:
    """v1 serves, v2 is registered."""
    world.trained_and_served()
    return world.train()


def kinds(world: World) -> list[EntryKind]:
    """Newest first."""
    return [entry.kind for entry in world.ledger.history("iris")]


def test_a_split_is_one_entry_with_both_routes(world: World, other: ModelVersion) -> None:
    before = world.ledger.head("iris")
    assert before is not None
    plan = Plan(role=Role.SPLIT, percent=12.5, hours=2, sticky="header:X-User-Id")
    begun = begin(world.ports, other, plan, actor="bob")
    entry = world.ledger.head("iris")
    assert entry == begun.entry
    assert (entry.kind, entry.door, entry.actor) == (EntryKind.SPLIT, Door.COMMAND, "bob")
    assert (entry.route, entry.digest) == (before.route, before.digest)
    arm = entry.arm
    assert arm is not None
    assert (arm.version, arm.role, arm.weight) == (2, Role.SPLIT, 0.125)
    assert (arm.sticky, arm.until_ms) == ("header:X-User-Id", entry.at_ms + 2 * HOUR_MS)
    assert arm.digest == begun.report.digest != entry.digest
    until = datetime.datetime.fromtimestamp(arm.until_ms / 1000, datetime.UTC)
    assert entry.reason == (
        "v2 beside v1: split, 12.5 % of requests by header:X-User-Id, "
        f"until {until:%Y-%m-%d %H:%M:%S}Z"
    )
    assert world.tags(other)["baton.gates"] == "passed", "as of a promotion"


def test_a_shadow_is_one_too(world: World, other: ModelVersion) -> None:
    entry = begin(world.ports, other, SHADOW, actor="bob").entry
    arm = entry.arm
    assert arm is not None
    assert (entry.kind, arm.role, arm.weight, arm.sticky) == (
        EntryKind.SHADOW,
        Role.SHADOW,
        0.2,
        "",
    )
    assert arm.until_ms == entry.at_ms + 24 * HOUR_MS
    assert "20 % of requests, as copies" in entry.reason


def test_what_answers_people_passes_its_gates_and_a_shadow_only_loads(
    world: World, other: ModelVersion
) -> None:
    world.policies["iris"] = PICKY
    with pytest.raises(GatesRefused, match="accuracy"):
        begin(world.ports, other, SPLIT, actor="bob")
    assert kinds(world) == [EntryKind.PROMOTE]
    assert "accuracy" in world.tags(other)[REJECTED_TAG]
    third = world.train()
    begun = begin(world.ports, third, SHADOW, actor="bob")
    assert begun.report.passed
    assert begun.report.failures, "they are told"
    assert begun.entry.report
    assert REJECTED_TAG not in world.tags(third), "nobody asked whether it may be promoted"


@pytest.mark.parametrize("plan", [SPLIT, SHADOW])
def test_what_does_not_load_is_never_beside(world: World, plan: Plan) -> None:
    world.trained_and_served()
    broken = world.train(content="broken")
    with pytest.raises(GatesRefused, match="signal 11"):
        begin(world.ports, broken, plan, actor="bob")
    assert kinds(world) == [EntryKind.PROMOTE]


@pytest.mark.parametrize(
    "wrong",
    [
        {"percent": 0},
        {"percent": -1},
        {"percent": 100.5},
        {"percent": float("nan")},
        {"hours": 0},
        {"hours": 721},
        {"hours": float("nan")},
        {"sticky": "X-User-Id"},
        {"sticky": "header:"},
        {"sticky": "header:X User"},
        {"sticky": "header:X-User\n"},
        {"sticky": "cookie:id"},
    ],
)
def test_what_cannot_be_is_not_begun(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        Plan(role=Role.SPLIT, **{"percent": 10, **wrong})


@pytest.mark.parametrize("percent", [0.01, 100])
def test_any_share_of_requests_can_be(percent: float) -> None:
    assert Plan(role=Role.SPLIT, percent=percent).percent == percent


def test_where_nothing_serves_nothing_is_beside(world: World) -> None:
    version = world.train()
    with pytest.raises(NothingToServe, match="nothing is in Production"):
        begin(world.ports, version, SPLIT, actor="bob")
    world.serve(version)
    retire(world.ports, "iris", actor="bob")
    with pytest.raises(NothingToServe, match="retired, since seq 1.2"):
        begin(world.ports, world.train(), SPLIT, actor="bob")


def test_what_serves_is_not_beside_itself(world: World, other: ModelVersion) -> None:
    with pytest.raises(Refused, match="iris v1: it serves already"):
        begin(world.ports, world.client.version("iris", 1), SPLIT, actor="bob")
    assert not world.trial.tried[1:], "it is refused before anything is fetched"


def test_there_is_one_at_a_time(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    for plan in (SPLIT, SHADOW):
        with pytest.raises(Refused, match=r"v2 is beside v1 already \(split, .*registry stop iris"):
            begin(world.ports, world.train(), plan, actor="bob")


def test_another_ledgers_model_is_refused(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    world.client.tag_model("iris", LEDGER_TAG, "another")
    with pytest.raises(ForeignLedger):
        begin(world.ports, world.train(), SPLIT, actor="bob")
    with pytest.raises(ForeignLedger):
        stop(world.ports, "iris", actor="bob")
    assert kinds(world) == [EntryKind.SPLIT, EntryKind.PROMOTE]


@pytest.mark.parametrize("plan", [SPLIT, SHADOW])
def test_who_loses_the_race_changes_nothing(world: World, other: ModelVersion, plan: Plan) -> None:
    third = world.train()
    world.trial.meanwhile = lambda: world.serve(third)
    with pytest.raises(LostRace):
        begin(world.ports, other, plan, actor="bob")
    assert kinds(world) == [EntryKind.PROMOTE, EntryKind.PROMOTE]
    assert world.serving() == 3


def test_stopping_leaves_what_serves_alone(world: World, other: ModelVersion) -> None:
    before = world.ledger.head("iris")
    world.put_beside(other)
    entry = stop(world.ports, "iris", actor="bob", reason="seen enough")
    assert before is not None
    assert (entry.kind, entry.routes, entry.reason) == (
        EntryKind.STOP,
        before.routes,
        "seen enough",
    )
    with pytest.raises(NothingToServe, match="no shadow and no split"):
        stop(world.ports, "iris", actor="bob")
    world.put_beside(other, Role.SHADOW)
    assert stop(world.ports, "iris", actor="bob").reason == "shadow of v2 stopped"


def test_nothing_is_stopped_where_nothing_ever_served(world: World) -> None:
    world.train()
    with pytest.raises(NothingToServe):
        stop(world.ports, "iris", actor="bob")


@pytest.mark.parametrize("number", [1, 2])
def test_a_promotion_of_either_version_ends_it(
    world: World, other: ModelVersion, number: int
) -> None:
    world.put_beside(other)
    entry = world.serve(world.client.version("iris", number))
    assert (entry.kind, len(entry.routes)) == (EntryKind.PROMOTE, 1)
    assert (entry.arm, world.serving()) == (None, number)
    assert entry.route is not None
    assert (entry.route.role, entry.route.weight, entry.route.until_ms) == (Role.SERVE, 1.0, 0)
    again = promote(world.ports, world.client.version("iris", number), actor="ada").entry
    assert again is not None
    assert again.key == entry.key, "that serves alone already"


def test_a_rollback_ends_it_and_goes_back_from_what_serves(world: World) -> None:
    for _ in range(2):
        world.trained_and_served()
    world.put_beside(world.train())
    entry = rollback(world.ports, "iris", actor="bob", to=None)
    assert (entry.route and entry.route.version, entry.arm) == (1, None)
    assert entry.reason == "rolled back from v2"


@pytest.mark.parametrize("role", [Role.SPLIT, Role.SHADOW])
def test_nobody_goes_back_to_what_was_only_beside(world: World, role: Role) -> None:
    for _ in range(2):
        world.trained_and_served()
    world.put_beside(world.train(), role)
    stop(world.ports, "iris", actor="bob")
    with pytest.raises(UnknownName, match=r"'3'; there is: 1, 2"):
        rollback(world.ports, "iris", actor="bob", to=3)
    world.put_beside(world.client.version("iris", 3), role)
    assert rollback(world.ports, "iris", actor="bob", to=None).route.version == 1  # type: ignore[union-attr]
    with pytest.raises(NothingToServe):
        rollback(world.ports, "iris", actor="bob", to=None)


def test_back_from_a_version_that_was_beside_first(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    world.serve(other)
    entry = rollback(world.ports, "iris", actor="bob", to=None)
    assert (entry.routes, entry.route and entry.route.version) == ((entry.route,), 1)


def test_retiring_ends_it(world: World, other: ModelVersion) -> None:
    world.put_beside(other)
    entry = retire(world.ports, "iris", actor="bob")
    project(world.ports, "iris")
    assert (entry.routes, world.shown()) == ((), ([], None))
    assert ARM_TAG not in world.tags(other)


def test_mlflow_tells_of_it_and_moves_no_stage(world: World, other: ModelVersion) -> None:
    promoted = world.tags(world.client.version("iris", 1))
    world.client.writes.clear()
    entry = world.put_beside(other)
    assert {call[0] for call in world.client.writes} == {"tag"}
    assert world.shown() == ([1], 1)
    assert world.tags(other)[ARM_TAG].startswith("split, 10 % of requests, until 2026-01-02")
    assert world.tags(world.client.version("iris", 1)) == promoted, "who promoted it stays"
    head = world.ledger.head("iris")
    assert head is not None
    assert (head.key, head.snapshot) == (entry.key, world.client.snapshot("iris"))
    stop(world.ports, "iris", actor="bob")
    project(world.ports, "iris")
    assert ARM_TAG not in world.tags(other)
    assert world.tags(world.client.version("iris", 1)) == promoted


def test_a_promotion_that_was_not_drawn_yet_is_drawn_as_its_own(world: World) -> None:
    promote(world.ports, world.train(), actor="ada")
    world.put_beside(world.train())
    assert world.shown() == ([1], 1)
    tags = world.tags(world.client.version("iris", 1))
    assert tags["promoted_by"] == "ada", "and not who put another beside it"


@pytest.mark.parametrize("gone", ["iris v1", "iris v2", "iris"])
def test_what_was_deleted_in_mlflow_keeps_nothing_from_being_drawn(
    world: World, other: ModelVersion, gone: str
) -> None:
    begin(world.ports, other, SPLIT, actor="bob")
    if gone == "iris":
        world.client.delete_model("iris")
    else:
        world.client.delete_version("iris", int(gone[-1]))
    drawn = project(world.ports, "iris")
    assert drawn is not None
    assert (drawn.kind, drawn.snapshot is None) == (EntryKind.SPLIT, False)


def test_a_shadow_puts_nothing_back_that_a_person_took_out(
    world: World, other: ModelVersion
) -> None:
    registrar = world.registrar()
    world.click(world.client.version("iris", 1), stage=other.stage)
    registrar.step()
    world.put_beside(other, Role.SHADOW)
    registrar.step()
    assert world.shown()[0] == []


def test_it_is_shown_to_people_and_scripts(world: World, other: ModelVersion) -> None:
    assert (brief(world.ledger.head("iris")) or {})["arm"] is None
    entry = world.put_beside(other, sticky="header:X-User-Id")
    shown = status_row(world.ports, entry)["entry"]
    assert (shown["version"], shown["kind"]) == (1, "split")
    assert shown["arm"] == {
        "version": 2,
        "role": "split",
        "percent": 10,
        "sticky": "header:X-User-Id",
        "until": shown["arm"]["until"],
        "digest": entry.arm.digest if entry.arm else "",
        "text": f"v2: split, 10 % of requests by header:X-User-Id, until {shown['arm']['until']}",
    }
