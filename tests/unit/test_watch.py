"""What is watched after a promotion, and for how long: a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from registry.ledger import Entry, EntryKind, Key, Role
from registry.policy import Policy, Rollback, Symptom
from registry.prediction_counts import Counts, Reference, Stint
from registry.watch import (
    FALSE_ALARMS,
    LEAST_KNOWN,
    Watch,
    arm_watch_of,
    bounds_of,
    find,
    watch_of,
    watches_of,
)
from tests.fakes import draft, route

MINUTE = 60_000
DAY = 86_400_000


def entry(seq: int, version: int, **changes: Any) -> Entry:
    """The promotion of a version, one day after the one before."""
    fields = {f.name: getattr(draft(version=version), f.name) for f in dataclasses.fields(draft())}
    placed = {"key": Key(1, seq), "revision": seq, "at_ms": seq * DAY, "previous_hash": ""}
    return Entry(**{**fields, **placed, **changes})


def beside(seq: int, version: int, *, role: Role = Role.SPLIT, days: float = 1) -> Entry:
    """Version 9 beside another, some minutes after the entry before."""
    arm = route(9, role=role, weight=0.1, until_ms=round((seq + days) * DAY))
    routes, kind = (route(version), arm), EntryKind(role.value)
    return entry(seq, version, kind=kind, routes=routes, at_ms=(seq - 1) * DAY + 3 * MINUTE)


def stopped(seq: int, version: int) -> Entry:
    return entry(seq, version, kind=EntryKind.STOP)


def stint(first: int, last: int | None = None, arm: str = "serve") -> Stint:
    """Of these entries' seq; an hour before the first there is no record of them."""
    at_ms = first * DAY
    return Stint(
        model="iris",
        epoch=1,
        first=first,
        last=last or first,
        since=at_ms / 1000 - 3600,
        arm=arm,
    )


HISTORY = [entry(2, 2), entry(1, 1)]
NOW = 2 * DAY + 5 * MINUTE


def test_a_promotion_is_watched_from_its_entry_on() -> None:
    watch = watch_of(HISTORY, Policy(), now_ms=NOW)
    assert watch is not None
    assert (watch.head, watch.new, watch.old) == (HISTORY[0], stint(2), stint(1))
    assert watch.until_ms == 2 * DAY + 15 * MINUTE


@pytest.mark.parametrize(
    "history",
    [
        [],
        [entry(1, 1)],
        [entry(2, 1), entry(1, 1)],
        [entry(2, 2, kind=EntryKind.ROLLBACK), entry(1, 1)],
        [entry(2, 2, kind=EntryKind.RESTORE), entry(1, 1)],
        [entry(2, 2, kind=EntryKind.RETIRE, routes=()), entry(1, 1)],
        [entry(2, 2), entry(1, 1, kind=EntryKind.RETIRE, routes=())],
    ],
    ids=["nothing", "the first", "the same again", "a rollback", "a restore", "retired", "anew"],
)
def test_where_nothing_was_replaced_by_a_promotion_nothing_is_watched(history: list[Entry]) -> None:
    assert watch_of(history, Policy(), now_ms=NOW) is None


@pytest.mark.parametrize(
    "policy",
    [
        Policy(rollback=Rollback.OFF),
        Policy(watch=()),
        Policy(watch_minutes=5),
        Policy(watch_minutes=0),
    ],
)
def test_a_policy_can_leave_it(policy: Policy) -> None:
    assert watch_of(HISTORY, policy, now_ms=NOW) is None


def test_what_is_of_a_clock_ahead_has_just_begun() -> None:
    watch = watch_of(HISTORY, Policy(), now_ms=DAY)
    assert watch is not None
    assert watch.until_ms == DAY + 15 * MINUTE


def test_it_goes_on_while_something_is_put_beside_it() -> None:
    history = [beside(3, 2), *HISTORY]
    watch = watch_of(history, Policy(), now_ms=NOW)
    assert watch is not None
    assert (watch.head, watch.new, watch.old) == (history[0], stint(2, 3), stint(1))
    assert watch.until_ms == 2 * DAY + 15 * MINUTE, "from the promotion on"
    assert watch.versions == "iris v2 after v1"
    history = [stopped(4, 2), *history]
    watch = watch_of(history, Policy(), now_ms=NOW)
    assert watch is not None
    assert (watch.head, watch.new, watch.old) == (history[0], stint(2, 4), stint(1))


def test_the_version_before_is_known_by_all_that_it_answered() -> None:
    history = [entry(4, 2), stopped(3, 1), beside(2, 1), entry(1, 1)]
    watch = watch_of(history, Policy(), now_ms=4 * DAY)
    assert watch is not None
    assert (watch.new, watch.old) == (stint(4), stint(1, 3))
    assert watch.versions == "iris v2 after v1"


@pytest.mark.parametrize(
    "history",
    [
        [beside(2, 1), entry(1, 1)],
        [beside(3, 1), entry(2, 1, kind=EntryKind.ROLLBACK), entry(1, 2)],
        [beside(3, 2), entry(2, 2, kind=EntryKind.RESTORE), entry(1, 1)],
        [entry(3, 2), beside(2, 2), entry(1, 1)],
    ],
    ids=["the first", "a rollback", "a restore", "the same again"],
)
def test_beside_what_is_not_watched_nothing_is(history: list[Entry]) -> None:
    assert watch_of(history, Policy(), now_ms=3 * DAY) is None


def test_the_arm_of_a_split_is_watched_until_its_deadline() -> None:
    history = [beside(4, 2, days=2), stopped(3, 2), *HISTORY]
    at_ms = history[0].at_ms
    watch = arm_watch_of(history, Policy(), now_ms=at_ms)
    assert watch is not None
    assert (watch.of_arm, watch.until_ms) == (True, 6 * DAY)
    assert watch.versions == "iris v9 beside v2"
    since = at_ms / 1000 - 3600
    of_split = dataclasses.replace(stint(4), since=since)
    assert watch.new == dataclasses.replace(of_split, arm="split")
    assert (watch.old, watch.meanwhile) == (stint(2, 4), of_split)
    assert arm_watch_of(history, Policy(), now_ms=6 * DAY) is None
    assert watches_of(history, Policy(), now_ms=at_ms) == [watch], "v2's own watch is over"


@pytest.mark.parametrize(
    ("history", "policy"),
    [
        ([], Policy()),
        (HISTORY, Policy()),
        ([stopped(3, 2), *HISTORY], Policy()),
        ([beside(3, 2, role=Role.SHADOW), *HISTORY], Policy()),
        ([beside(3, 2), *HISTORY], Policy(rollback=Rollback.OFF)),
        ([beside(3, 2), *HISTORY], Policy(watch=())),
    ],
)
def test_what_answers_nobody_beside_is_not_watched(history: list[Entry], policy: Policy) -> None:
    assert arm_watch_of(history, policy, now_ms=NOW) is None


def watched(**policy: Any) -> Watch:
    found = watch_of(HISTORY, Policy(**{"watch": tuple(Symptom), **policy}), now_ms=NOW)
    assert found is not None
    return found


OLD = Reference(
    Counts(errors=50, answered=950, slow=47, rated=950, unsure=95),
    slow_ms=12.5,
)
BAD = Counts(errors=60, answered=240, slow=80, rated=240, unsure=120)


@pytest.mark.parametrize(
    ("symptom", "told"),
    [
        ("errors", "60 of 300 (20.0%) requests failed, before 50 of 1,000 (5.0%)"),
        (
            "latency",
            "80 of 240 (33.3%) answers took longer than 12.5 ms, before 47 of 950 (4.9%)",
        ),
        (
            "confidence",
            "120 of 240 (50.0%) answers had a confidence below 60%, before 95 of 950 (10.0%)",
        ),
    ],
)
def test_only_what_is_watched_is_told(symptom: str, told: str) -> None:
    finding = find(watched(watch=(Symptom(symptom),)), BAD, OLD)
    assert finding.reason == f"iris v2 after v1: {told}"
    assert finding.is_left


def test_everything_that_is_worse_is_told_at_once() -> None:
    reason = find(watched(), BAD, OLD).reason
    assert reason.count("; ") == 2


def test_a_policy_that_alerts_leaves_nothing() -> None:
    finding = find(watched(rollback=Rollback.ALERT), BAD, OLD)
    assert finding.reason
    assert not finding.is_left


@pytest.mark.parametrize(
    ("counts", "old"),
    [(Counts(), OLD), (BAD, Reference(Counts(), None)), (Counts(), Reference(Counts(), None))],
)
def test_without_requests_of_both_nothing_is_known(counts: Counts, old: Reference) -> None:
    finding = find(watched(), counts, old)
    assert (finding.known, finding.reason) == (False, "")


def test_confidence_is_no_symptom_where_the_version_before_had_none() -> None:
    old = Reference(Counts(errors=0, answered=1_000, slow=50), 12.5)
    new = Counts(errors=0, answered=300, slow=15, rated=300, unsure=300)
    assert find(watched(), new, old).reason == ""


def test_all_that_is_watched_shares_one_bound() -> None:
    for asked in (tuple(Symptom), (Symptom.ERRORS, Symptom.LATENCY), (Symptom.CONFIDENCE,)):
        assert sum(bounds_of(asked).values()) == pytest.approx(FALSE_ALARMS)


def test_who_watches_less_finds_it_sooner() -> None:
    old = Reference(Counts(errors=1_000, answered=19_000), None)
    enough = next(
        bad
        for bad in range(300)
        if find(
            watched(watch=(Symptom.ERRORS,)), Counts(errors=bad, answered=300 - bad), old
        ).reason
    )
    assert not find(watched(), Counts(errors=enough, answered=300 - enough), old).reason


def arm_watched(**policy: Any) -> Watch:
    found = arm_watch_of([beside(3, 2), *HISTORY], Policy(**policy), now_ms=NOW)
    assert found is not None
    return found


FEW_FAIL = Reference(Counts(errors=50, answered=4_950), 12.5)
MANY_FAIL = Counts(errors=30, answered=270)


def test_an_arm_that_fails_more_often_is_told_with_both_numbers() -> None:
    found = find(arm_watched(), MANY_FAIL, FEW_FAIL, Counts(errors=9, answered=891))
    told = "iris v9 beside v2: 30 of 300 (10.0%) requests failed, beside 50 of 5,000 (1.0%)"
    assert (found.reason, found.is_left, found.known) == (told, True, True)


def test_what_fails_for_everybody_meanwhile_is_not_the_arms_fault() -> None:
    everybody = Counts(errors=270, answered=2_430)
    assert find(arm_watched(), MANY_FAIL, FEW_FAIL, everybody).reason == ""
    assert find(arm_watched(), MANY_FAIL, FEW_FAIL, Counts()).reason, "an arm of all requests"


def test_an_arm_is_held_against_what_is_well_known_only() -> None:
    few = Reference(Counts(errors=9, answered=LEAST_KNOWN - 10), None)
    found = find(arm_watched(), MANY_FAIL, few, Counts(answered=100))
    assert (found.reason, found.known) == ("", False)
    enough = Reference(Counts(errors=10, answered=LEAST_KNOWN - 10), None)
    assert find(arm_watched(), MANY_FAIL, enough, Counts(answered=100)).reason
