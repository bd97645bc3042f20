"""What is watched after a promotion, and for how long: a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from registry.ledger import Entry, EntryKind, Key
from registry.policy import Policy, Rollback, Symptom
from registry.prediction_counts import Counts, Reference
from registry.watch import FALSE_ALARMS, Watch, bounds_of, find, watch_of
from tests.fakes import draft

MINUTE = 60_000
DAY = 86_400_000


def entry(seq: int, version: int, **changes: Any) -> Entry:
    """The promotion of a version, one day after the one before."""
    fields = {f.name: getattr(draft(version=version), f.name) for f in dataclasses.fields(draft())}
    placed = {"key": Key(1, seq), "revision": seq, "at_ms": seq * DAY, "previous_hash": ""}
    return Entry(**{**fields, **placed, **changes})


HISTORY = [entry(2, 2), entry(1, 1)]
NOW = 2 * DAY + 5 * MINUTE


def test_a_promotion_is_watched_from_its_entry_on() -> None:
    watch = watch_of(HISTORY, Policy(), now_ms=NOW)
    assert watch is not None
    assert (watch.head, watch.before) == (HISTORY[0], HISTORY[1])
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
