"""A version that is worse than the one before: the registrar goes back, once, and says why."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.arms import stop
from registry.fence import fenced
from registry.ledger import Door, EntryKind, Role
from registry.policy import Policy, Rollback, Symptom
from registry.promotion import REJECTED_TAG, Ports
from registry.registrar import ACTOR, WATCH_TAG, Registrar
from registry.sentry import SILENT_SECONDS, Sentry
from registry.withdrawal import retire, rollback
from tests.fakes import World
from tests.fakes.counts import AWAY, Answer, FakeCounts
from tests.fakes.survival import survives
from training.following.actor import left_by_the_watch

FIRST, SECOND = (1, 1), (1, 2)


def at_once(work: Callable[[], None]) -> Callable[[], bool]:
    work()
    return lambda: True


def watching(world: World, counts: FakeCounts, **how: object) -> Registrar:
    """A registrar with a sentry over these counts; it has not stepped yet."""
    sentry = Sentry(
        counts,
        ledger=world.ledger,
        gates=world.ports.gates,
        knock=world._knock,
        monotonic=world.clock.monotonic,
        **{"begin": at_once, **how},
    )
    return Registrar(
        world.ports, announce=world._knock, sentry=sentry, monotonic=world.clock.monotonic
    )


def stepped(registrar: Registrar, times: int = 3) -> Registrar:
    for _ in range(times):
        registrar.step()
    return registrar


@pytest.fixture
def two(world: World) -> World:
    """v1 served before, v2 is the head."""
    world.trained_and_served()
    world.trained_and_served()
    return world


@pytest.fixture
def worse() -> FakeCounts:
    """One request in ten fails, where one in a hundred did."""
    counts = FakeCounts()
    counts.errors("iris", FIRST, bad=50, of=5_000)
    counts.errors("iris", SECOND, bad=30, of=300)
    return counts


def test_a_version_that_fails_more_often_is_left(two: World, worse: FakeCounts) -> None:
    stepped(watching(two, worse))
    head = two.ledger.head("iris")
    assert head is not None
    assert (head.kind, head.door, head.actor) == (EntryKind.ROLLBACK, Door.WATCH, ACTOR)
    said = "iris v2 after v1: 30 of 300 (10.0%) requests failed, before 50 of 5,000 (1.0%)"
    assert head.reason == said
    assert two.shown() == ([1], 1)
    assert two.tags(two.client.version("iris", 2))[REJECTED_TAG] == said
    assert len(two.ledger.history("iris")) == 3


def test_a_version_that_is_slower_or_less_sure_is_left(two: World) -> None:
    counts = FakeCounts()
    counts.add("iris", FIRST, [Answer(latency_ms=n % 100, confidence=0.9) for n in range(2_000)])
    slow = [Answer(latency_ms=95 + n % 5, confidence=0.5) for n in range(60)]
    counts.add("iris", SECOND, slow)
    two.policies["iris"] = Policy(watch=tuple(Symptom))
    stepped(watching(two, counts))
    head = two.ledger.head("iris")
    assert head is not None
    assert head.door is Door.WATCH
    assert "60 of 60 (100.0%) answers took longer than 94 ms, before 100 of 2,000 (5.0%)" in (
        head.reason
    )
    assert "60 of 60 (100.0%) answers had a confidence below 60%, before 0 of 2,000" in head.reason


def test_what_clients_did_wrong_is_nobodys_error(two: World) -> None:
    counts = FakeCounts()
    counts.errors("iris", FIRST, bad=50, of=5_000)
    counts.add("iris", SECOND, [Answer(422)] * 500 + [Answer()] * 100)
    stepped(watching(two, counts))
    assert two.serving() == 2


def test_a_version_that_is_no_worse_stays_and_that_is_told_at_the_end(
    two: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counts = FakeCounts()
    counts.errors("iris", FIRST, bad=50, of=5_000)
    counts.errors("iris", SECOND, bad=3, of=300)
    registrar = stepped(watching(two, counts))
    two.clock.sleep(15 * 60)
    stepped(registrar)
    assert two.serving() == 2
    assert "iris v2 after v1: no worse, by 300 requests beside 5000" in caplog.text
    looks = counts.looks
    counts.errors("iris", SECOND, bad=300, of=300)
    stepped(registrar)
    assert (two.serving(), counts.looks) == (2, looks), "its time is over"


def test_a_window_without_requests_ends_unknown(
    two: World, caplog: pytest.LogCaptureFixture
) -> None:
    registrar = stepped(watching(two, FakeCounts()))
    two.clock.sleep(15 * 60)
    stepped(registrar)
    assert two.serving() == 2
    assert caplog.text.count("unknown whether it is worse") == 1


@pytest.mark.parametrize("fault", [AWAY, RuntimeError("a driver's own")])
def test_a_log_that_is_away_is_told_once_and_changes_nothing(
    two: World, worse: FakeCounts, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    worse.away = fault
    registrar = stepped(watching(two, worse))
    two.click(two.train("petr4"))
    stepped(registrar)
    assert two.serving() == 2
    assert two.serving("petr4") == 1, "the registrar's other work goes on"
    assert caplog.text.count("nobody is rolled back by it") == 1
    worse.away = None
    stepped(registrar)
    assert two.serving() == 1, "what is known again counts"


def test_a_log_that_hangs_holds_nobody_up(
    two: World, worse: FakeCounts, caplog: pytest.LogCaptureFixture
) -> None:
    worse.go_on.clear()
    begun = []

    def never_done(work: Callable[[], None]) -> Callable[[], bool]:
        begun.append(work)
        return lambda: False

    registrar = watching(two, worse, begin=never_done)
    two.click(two.train("petr4"))
    stepped(registrar)
    two.clock.sleep(SILENT_SECONDS + 1)
    stepped(registrar)
    assert len(begun) == 1, "nobody asks once more while it hangs"
    assert (two.serving(), two.serving("petr4")) == (2, 1)
    assert caplog.text.count("has not answered for 10 s") == 1


def test_a_slow_log_is_asked_for_a_tenth_of_the_time(two: World) -> None:
    counts, begun = FakeCounts(), []

    def slow(work: Callable[[], None]) -> Callable[[], bool]:
        begun.append(two.clock.monotonic())
        work()
        return lambda: True

    counts_of = counts.counts
    counts.counts = lambda *a, **k: (two.clock.sleep(1), counts_of(*a, **k))[1]  # type: ignore[method-assign]
    counts.errors("iris", FIRST, bad=0, of=1)
    registrar = watching(two, counts, begin=slow)
    for _ in range(60):
        registrar.step()
        two.clock.sleep(1)
    gaps = [after - before for before, after in itertools.pairwise(begun[1:])]
    assert gaps
    assert min(gaps) >= 10


def test_a_rollback_is_not_rolled_back(two: World, worse: FakeCounts) -> None:
    rollback(two.ports, "iris", actor="ada", to=None)
    worse.errors("iris", (1, 3), bad=300, of=300)
    stepped(watching(two, worse))
    assert two.serving() == 1
    assert len(two.ledger.history("iris")) == 3


def test_a_person_can_promote_it_once_more_and_it_is_watched_again(
    two: World, worse: FakeCounts
) -> None:
    registrar = stepped(watching(two, worse))
    two.serve(two.client.version("iris", 2))
    stepped(registrar)
    assert two.serving() == 2, "as entry 4 it has answered nothing yet"
    worse.errors("iris", (1, 3), bad=50, of=5_000)
    worse.errors("iris", (1, 4), bad=30, of=300)
    stepped(registrar)
    assert two.serving() == 1


def test_with_the_policy_alert_it_stays_and_is_told_once(
    two: World, worse: FakeCounts, caplog: pytest.LogCaptureFixture
) -> None:
    two.policies["iris"] = Policy(rollback=Rollback.ALERT)
    stepped(watching(two, worse), times=5)
    assert two.serving() == 2
    assert caplog.text.count("it stays: its policy is alert") == 1
    assert "30 of 300" in two.tags(two.client.version("iris", 2))[WATCH_TAG]


def test_what_is_not_watched_is_not_asked_about(two: World, worse: FakeCounts) -> None:
    two.policies["iris"] = Policy(watch=(Symptom.LATENCY,))
    stepped(watching(two, worse))
    two.policies["iris"] = Policy(rollback=Rollback.OFF)
    looks = worse.looks
    stepped(watching(two, worse))
    assert (two.serving(), worse.looks) == (2, looks)


def test_neither_the_first_version_nor_a_retired_model_is_watched(world: World) -> None:
    counts = FakeCounts()
    world.trained_and_served()
    counts.errors("iris", FIRST, bad=300, of=300)
    registrar = stepped(watching(world, counts))
    retire(world.ports, "iris", actor="ada")
    stepped(registrar)
    assert (world.serving(), counts.looks) == (None, 0)


def test_where_no_version_is_left_to_go_back_to_it_stays_and_that_is_told_once(
    two: World, worse: FakeCounts, caplog: pytest.LogCaptureFixture
) -> None:
    two.client.delete_version("iris", 1)
    stepped(watching(two, worse), times=5)
    assert two.serving() == 2
    assert caplog.text.count("it stays") == 1


def test_a_head_that_moved_meanwhile_is_not_left(two: World, worse: FakeCounts) -> None:
    third = two.train()
    two.client.after_next("tag", lambda: two.serve(third))
    registrar = watching(two, worse)
    stepped(registrar)
    assert two.serving() == 3
    assert {entry.kind for entry in two.ledger.history("iris")} == {EntryKind.PROMOTE}


def test_a_registrar_that_follows_another_finds_the_same(two: World, worse: FakeCounts) -> None:
    watching(two, worse).step()
    assert two.serving() == 2, "it looked, and died"
    stepped(watching(two, worse))
    assert two.serving() == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_anywhere_while_it_goes_back_the_next_one_finishes(
    tmp_path: Path, worse: FakeCounts
) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        world.trained_and_served()

    def steps(world: World, ports: Ports) -> None:
        lease = world.lease()
        assert lease.acquire()
        sentry = Sentry(
            worse, ledger=ports.ledger, gates=ports.gates, knock=lambda: None, begin=at_once
        )
        registrar = Registrar(fenced(ports, lease), announce=lambda: None, sentry=sentry)
        stepped(registrar)
        world.ledger.release_lease("registrar", holder=lease.holder)

    def action(world: World, ports: Ports) -> None:
        try:
            steps(world, ports)
        finally:  # what a killed one leaves, the next one does
            lease = world.lease()
            while not lease.acquire():
                world.clock.sleep(0.5)
            world.ledger.release_lease("registrar", holder=lease.holder)
            steps(world, world.ports)
            assert "30 of 300" in world.tags(world.client.version("iris", 2))[REJECTED_TAG]

    points = survives(tmp_path, setting, action, may_end={1}, new=1)
    assert "after append" in points
    assert len(points) > 10


def test_a_version_beside_it_neither_ends_the_watch_nor_is_the_measure(
    two: World, worse: FakeCounts
) -> None:
    """Worse is told of v2 as the promotion's entry and the split's together answered."""
    counts = FakeCounts()
    counts.answers = {key: value for key, value in worse.answers.items() if key[1] == FIRST}
    registrar = stepped(watching(two, counts))
    two.put_beside(two.train())
    stepped(registrar)
    counts.errors("iris", SECOND, bad=15, of=150)
    counts.errors("iris", (1, 3), bad=15, of=150)
    counts.errors("iris", (1, 3), bad=0, of=1_000, arm="split")
    stepped(registrar)
    head = two.ledger.head("iris")
    assert head is not None
    assert (head.kind, head.door, head.arm) == (EntryKind.ROLLBACK, Door.WATCH, None)
    assert two.serving() == 1
    assert "v2 after v1: 30 of 300 (10.0%) requests failed, before 50 of 5,000" in head.reason


def test_a_version_that_stood_beside_before_its_promotion_has_its_measure(two: World) -> None:
    """What v2 answered counts from its promotion on: the entry before is the end of a split."""
    third = two.train()
    two.put_beside(third)
    stop(two.ports, "iris", actor="bob")
    counts = FakeCounts()
    counts.errors("iris", SECOND, bad=50, of=5_000)
    registrar = watching(two, counts)
    key = two.serve(third).key
    counts.errors("iris", (key.epoch, key.seq), bad=30, of=300)
    stepped(registrar)
    assert two.serving() == 2


@pytest.fixture
def split(two: World) -> World:
    """v2 serves, and is watched no longer; v3 is beside it."""
    two.clock.sleep(16 * 60)
    two.put_beside(two.train())
    return two


@pytest.fixture
def worse_arm() -> FakeCounts:
    """Of v3 one request in ten fails, of v2 one in a hundred, before and beside it."""
    counts = FakeCounts()
    counts.errors("iris", SECOND, bad=40, of=4_000)
    counts.errors("iris", (1, 3), bad=10, of=1_000)
    counts.errors("iris", (1, 3), bad=30, of=300, arm="split")
    return counts


def test_an_arm_that_fails_more_often_is_stopped(split: World, worse_arm: FakeCounts) -> None:
    registrar = stepped(watching(split, worse_arm))
    head = split.ledger.head("iris")
    assert head is not None
    said = "iris v3 beside v2: 30 of 300 (10.0%) requests failed, beside 50 of 5,000 (1.0%)"
    assert (head.kind, head.door, head.reason) == (EntryKind.STOP, Door.WATCH, said)
    assert (split.serving(), split.shown()) == (2, ([2], 2))
    third = split.client.version("iris", 3)
    assert split.tags(third)[REJECTED_TAG] == said
    assert left_by_the_watch(split.ledger.history("iris")) == {
        arm.digest for arm in (split.ledger.history("iris")[1].arm,) if arm
    }
    looks = worse_arm.looks
    stepped(registrar)
    assert (worse_arm.looks, len(split.ledger.history("iris"))) == (looks, 4)


def test_an_arm_is_not_stopped_for_what_everybody_meets(
    split: World, worse_arm: FakeCounts
) -> None:
    worse_arm.errors("iris", (1, 3), bad=400, of=4_000)
    worse_arm.answers["iris", SECOND, "serve"] *= 5  # the outage is a small part of what is known
    stepped(watching(split, worse_arm))
    assert split.serving() == 2
    assert len(split.ledger.history("iris")) == 3


def test_with_the_policy_alert_an_arm_stays_and_is_told_once(
    split: World, worse_arm: FakeCounts, caplog: pytest.LogCaptureFixture
) -> None:
    split.policies["iris"] = Policy(rollback=Rollback.ALERT)
    stepped(watching(split, worse_arm), times=5)
    assert len(split.ledger.history("iris")) == 3
    assert caplog.text.count("it stays: its policy is alert") == 1
    assert "30 of 300" in split.tags(split.client.version("iris", 3))[WATCH_TAG]


def test_a_shadow_is_not_watched(two: World, worse_arm: FakeCounts) -> None:
    two.clock.sleep(16 * 60)
    two.put_beside(two.train(), Role.SHADOW)
    worse_arm.errors("iris", (1, 3), bad=300, of=300, arm="shadow")
    stepped(watching(two, worse_arm))
    assert (worse_arm.looks, len(two.ledger.history("iris"))) == (0, 3)


def test_both_are_watched_and_the_version_that_serves_goes_first(
    two: World, worse: FakeCounts
) -> None:
    two.put_beside(two.train())
    worse.errors("iris", (1, 3), bad=30, of=300, arm="split")
    worse.errors("iris", (1, 3), bad=100, of=1_000)
    stepped(watching(two, worse), times=5)
    assert two.serving() == 1
    assert [e.kind for e in two.ledger.history("iris")][:2] == [
        EntryKind.ROLLBACK,
        EntryKind.SPLIT,
    ]
