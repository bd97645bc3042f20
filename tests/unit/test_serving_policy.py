"""What a node does next about one model: every rule of `policy.next_action` is a row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry.bundle import Manifest
from registry.ledger import Key, Role, Route
from serving.assignments import Assignment, Held
from serving.node.aspired import Aspired
from serving.node.policy import Action, Refusal, Snapshot, next_action, refuse
from tests.servingfakes.versions import assignment, with_arm

NOW = 100.0
A1, B2, C3 = (assignment(digest, seq) for seq, digest in enumerate("ABC", start=1))
A2_C = with_arm(assignment("A", 2), "C", 0.1)
A3_C = with_arm(assignment("A", 3), "C", 0.1)
C4_A = with_arm(assignment("C", 4), "A", 0.1)
REFUSED_B = {"B": Refusal("broken", retry_at=NOW + 1)}


def held(
    current: Assignment | None = None, previous: Assignment | None = None, *, refused: str = ""
) -> Held:
    return Held(index=0, current=current, previous=previous, refused=refused)


def wanted(one: Assignment) -> Aspired:
    """The entry that asks for a version."""
    route = Route(
        version=one.version, created_ms=1, digest=one.digest, source="", manifest=Manifest({})
    )
    aspired = Aspired(model=one.model, key=one.key, at_ms=one.since_ms, route=route)
    if not one.arm:
        return aspired
    arm = replace(
        route, version=one.arm.version, digest=one.arm.digest, role=Role.SPLIT, weight=one.arm.share
    )
    return replace(aspired, arm=arm)


ROWS = {
    "nothing is aspired: nothing to do": (Snapshot(held(A1)), None, Action.NOTHING),
    "nothing is held or aspired: nothing to do": (Snapshot(held()), None, Action.NOTHING),
    "the first version is loaded": (Snapshot(held()), A1, Action.LOAD),
    "what serves already is left alone": (Snapshot(held(A1)), A1, Action.NOTHING),
    "the newest wins": (Snapshot(held(A1)), B2, Action.LOAD),
    "a lower seq is never gone back to": (Snapshot(held(B2)), A1, Action.NOTHING),
    "a lower seq is never gone back to, even if it is ready": (
        Snapshot(held(B2), ready=frozenset("A")),
        A1,
        Action.NOTHING,
    ),
    "a new epoch is newer, however low its seq": (
        Snapshot(held(C3)),
        assignment("D", 1, epoch=2),
        Action.LOAD,
    ),
    "an old epoch is older, however high its seq": (
        Snapshot(held(assignment("A", 1, epoch=2))),
        assignment("D", 99, epoch=1),
        Action.NOTHING,
    ),
    "the same bytes in a newer entry are a flip": (
        Snapshot(held(A1)),
        assignment("A", 2),
        Action.FLIP,
    ),
    "a rollback to the resident version is a flip": (
        Snapshot(held(B2, A1)),
        assignment("A", 3),
        Action.FLIP,
    ),
    "a rollback while something else loads is a flip": (
        Snapshot(held(B2, A1), loading="C"),
        assignment("A", 4),
        Action.FLIP,
    ),
    "a version that passed its trial is a flip": (
        Snapshot(held(A1), ready=frozenset("B")),
        B2,
        Action.FLIP,
    ),
    "a version on its way is not loaded twice": (
        Snapshot(held(A1), loading="B"),
        B2,
        Action.NOTHING,
    ),
    "a newer version than the one on its way is to be loaded": (
        Snapshot(held(A1), loading="B"),
        C3,
        Action.LOAD,
    ),
    "of promotions one after the other a few are loaded": (
        Snapshot(held(A1), loads=(NOW - 2.9, NOW - 1, NOW)),
        B2,
        Action.WAIT,
    ),
    "and then one a second or so": (
        Snapshot(held(A1), loads=(NOW - 3, NOW - 1, NOW)),
        B2,
        Action.LOAD,
    ),
    "a few loads are not too many": (
        Snapshot(held(A1), loads=(NOW, NOW)),
        B2,
        Action.LOAD,
    ),
    "many loads are no reason to delay a way back": (
        Snapshot(held(B2, A1), loads=(NOW, NOW, NOW)),
        assignment("A", 4),
        Action.FLIP,
    ),
    "a refused version waits": (Snapshot(held(A1), refusals=REFUSED_B), B2, Action.WAIT),
    "a refused version waits even where its files are ready": (
        Snapshot(held(A1), ready=frozenset("B"), refusals=REFUSED_B),
        B2,
        Action.WAIT,
    ),
    "the same refused bytes in a newer entry wait too": (
        Snapshot(held(A1), refusals=REFUSED_B),
        assignment("B", 9),
        Action.WAIT,
    ),
    "a refused version is tried again when its time is over": (
        Snapshot(held(A1), refusals={"B": Refusal("broken", retry_at=NOW)}),
        B2,
        Action.LOAD,
    ),
    "a refusal says nothing about other bytes": (
        Snapshot(held(A1), refusals=REFUSED_B),
        C3,
        Action.LOAD,
    ),
    "what serves and is damaged in the store is loaded again": (
        Snapshot(held(A1), damaged=frozenset("A")),
        A1,
        Action.LOAD,
    ),
    "what is damaged is not loaded twice": (
        Snapshot(held(A1), loading="A", damaged=frozenset("A")),
        A1,
        Action.NOTHING,
    ),
    "what is damaged and cannot be had waits": (
        Snapshot(held(B2), refusals=REFUSED_B, damaged=frozenset("B")),
        B2,
        Action.WAIT,
    ),
    "damage is no reason to go back": (
        Snapshot(held(B2), damaged=frozenset("A")),
        A1,
        Action.NOTHING,
    ),
    "what is beside it is brought first": (Snapshot(held(A1)), A2_C, Action.LOAD),
    "what is beside it is not brought twice": (
        Snapshot(held(A1), loading="C"),
        A2_C,
        Action.NOTHING,
    ),
    "what is beside it alone is not enough": (
        Snapshot(held(B2), ready=frozenset("C")),
        A3_C,
        Action.LOAD,
    ),
    "with both at hand it is a flip": (Snapshot(held(A1), ready=frozenset("C")), A2_C, Action.FLIP),
    "a split with what served before is a flip": (Snapshot(held(C3, A1)), C4_A, Action.FLIP),
    "the end of a split is a flip": (Snapshot(held(A2_C)), assignment("A", 3), Action.FLIP),
    "what was beside it is loaded: its promotion is a flip": (
        Snapshot(held(A2_C)),
        C3,
        Action.FLIP,
    ),
    "what is refused beside it keeps the entry waiting": (
        Snapshot(held(A1), refusals={"C": Refusal("broken", retry_at=NOW + 1)}),
        A2_C,
        Action.WAIT,
    ),
    "what is damaged beside it is loaded again": (
        Snapshot(held(A2_C), damaged=frozenset("C")),
        A2_C,
        Action.LOAD,
    ),
    "back to what serves after a refusal is a flip": (
        Snapshot(held(A1, refused="v2 refused"), refusals=REFUSED_B),
        assignment("A", 3),
        Action.FLIP,
    ),
}


@pytest.mark.parametrize(("snapshot", "aspired", "expected"), ROWS.values(), ids=ROWS)
def test_next_action(snapshot: Snapshot, aspired: Assignment | None, expected: Action) -> None:
    assert next_action(snapshot, aspired and wanted(aspired), NOW) is expected


RETIREMENTS = {
    "a retired model leaves": (held(A1), Key(1, 2), Action.RETIRE),
    "what was retired stays away": (Held(index=0, retired=Key(1, 2)), Key(1, 2), Action.NOTHING),
    "an old retirement takes nothing away": (held(C3), Key(1, 2), Action.NOTHING),
    "a model that was never served can be retired": (held(), Key(1, 1), Action.RETIRE),
}


@pytest.mark.parametrize(("before", "key", "expected"), RETIREMENTS.values(), ids=RETIREMENTS)
def test_a_retirement(before: Held, key: Key, expected: Action) -> None:
    aspired = Aspired(model="iris", key=key, at_ms=1, route=None)
    assert next_action(Snapshot(before), aspired, NOW) is expected


def test_a_version_promoted_after_a_retirement_is_loaded_and_one_before_is_not() -> None:
    gone = Snapshot(Held(index=0, retired=Key(1, 2)))
    assert next_action(gone, wanted(C3), NOW) is Action.LOAD
    assert next_action(gone, wanted(B2), NOW) is Action.NOTHING


def test_a_node_that_is_told_to_pin_a_version_leaves_the_ledgers_order() -> None:
    pinned = wanted(assignment("P", 1, epoch=0))
    assert next_action(Snapshot(held(C3)), pinned, NOW) is Action.LOAD
    assert next_action(Snapshot(held(pinned.assignment)), pinned, NOW) is Action.NOTHING
    assert next_action(Snapshot(held(pinned.assignment)), wanted(A1), NOW) is Action.LOAD


def test_a_first_refusal_waits_two_seconds_and_keeps_its_reason() -> None:
    assert refuse(None, "broken", NOW, 0.0) == Refusal("broken", NOW + 2, attempts=1)


def test_the_wait_doubles_up_to_five_minutes() -> None:
    refusal, waits = None, []
    for _ in range(10):
        refusal = refuse(refusal, "broken", NOW, 0.0)
        waits.append(refusal.retry_at - NOW)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_jitter_spreads_nodes_by_up_to_half_of_the_wait() -> None:
    retries = [refuse(None, "broken", NOW, jitter).retry_at for jitter in (0.0, 0.5, 1.0)]
    assert retries == [NOW + 2, NOW + 2.5, NOW + 3]


def test_many_refusals_never_overflow() -> None:
    assert refuse(Refusal("", 0, attempts=5000), "broken", NOW, 0.0).retry_at == NOW + 300
