"""Leases, on sqlite and PostgreSQL: one holder at a time, whatever is done to the clocks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, cast

import pytest

from registry.errors import LeaseLost
from registry.lease import TTL_SECONDS, Lease
from registry.ledger import Ledger, Turn
from registry.sql_ledger import SqlLedger
from tests.fakes import FakeClock

Open = Callable[[], SqlLedger]


@pytest.fixture
def one(ledger: SqlLedger, clock: FakeClock) -> Lease:
    """A holder."""
    return Lease(ledger, holder="one", monotonic=clock.monotonic)


@pytest.fixture
def other(open_ledger: Open, clock: FakeClock) -> Lease:
    """Another, on a connection of its own."""
    return Lease(open_ledger(), holder="other", monotonic=clock.monotonic)


def holds(lease: Lease) -> bool:
    """Whether it may write."""
    try:
        lease.check()
    except LeaseLost:
        return False
    return True


def test_a_lease_has_one_holder_until_that_one_is_silent(
    one: Lease, other: Lease, clock: FakeClock
) -> None:
    assert one.acquire()
    assert not other.acquire()
    clock.sleep(2)
    assert one.acquire(), "its holder may renew it"
    clock.sleep(2)
    assert not other.acquire(), "renewed since it was looked at first"
    clock.sleep(TTL_SECONDS - 0.1)
    assert not other.acquire()
    clock.sleep(0.1)
    assert other.acquire()
    assert not one.acquire()


def test_its_holder_may_not_write_once_another_took_it(
    one: Lease, other: Lease, clock: FakeClock
) -> None:
    assert not holds(one)
    assert one.acquire()
    assert not other.acquire()
    assert holds(one)
    clock.sleep(TTL_SECONDS)
    assert other.acquire()
    assert not holds(one)
    assert holds(other)


def test_its_holder_asks_nobody_while_no_other_can_have_taken_it(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    asked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(ledger, name)

    lease = Lease(cast("Ledger", Counting()), monotonic=clock.monotonic)
    assert lease.acquire()
    asked.clear()
    clock.sleep(TTL_SECONDS - 0.6)
    assert holds(lease)
    assert asked == []
    clock.sleep(0.2)
    assert holds(lease)
    assert asked == ["lease", "take_lease"], "half a second before another could"


def test_a_holder_that_was_held_up_goes_on_if_nobody_held_it_in_between(
    one: Lease, other: Lease, clock: FakeClock
) -> None:
    assert one.acquire()
    assert not other.acquire()
    clock.sleep(60)
    assert holds(one), "its turn is still the last"
    assert not other.acquire(), "and that was a renewal"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_neither_gives_two_holders_nor_keeps_a_dead_one(
    one: Lease, other: Lease, clock: FakeClock, hours: int
) -> None:
    assert one.acquire()
    assert not other.acquire()
    clock.set_by(hours * 3600)
    assert not other.acquire()
    assert one.acquire()
    clock.sleep(TTL_SECONDS)
    assert not other.acquire(), "it was renewed after it was looked at"
    clock.sleep(TTL_SECONDS)
    assert other.acquire(), "the dead one keeps it for seconds, not for an hour"


def test_only_its_holder_can_give_a_lease_back(ledger: SqlLedger, one: Lease, other: Lease) -> None:
    assert one.acquire()
    ledger.release_lease("registrar", holder="other")
    assert not other.acquire()
    with one.kept():
        pass
    assert not holds(one)
    assert other.acquire()
    assert ledger.take_lease("another", holder="one", after=None) == Turn("one", 1)


def test_a_turn_is_taken_over_once(ledger: SqlLedger) -> None:
    first = ledger.take_lease("registrar", holder="one", after=None)
    assert ledger.take_lease("registrar", holder="other", after=None) is None
    second = ledger.take_lease("registrar", holder="other", after=first)
    assert second == ledger.lease("registrar") == Turn("other", 2)
    assert ledger.take_lease("registrar", holder="third", after=first) is None


def test_of_many_who_ask_at_once_one_gets_the_lease(open_ledger: Open) -> None:
    askers = [open_ledger() for _ in range(4)]
    with ThreadPoolExecutor(len(askers)) as pool:
        for number in range(20):
            together = Barrier(len(askers))
            name = f"lease-{number // 2}"
            turn = askers[0].lease(name)

            def ask(
                index: int,
                name: str = name,
                turn: Turn | None = turn,
                together: Barrier = together,
            ) -> Turn | None:
                together.wait()
                return askers[index].take_lease(name, holder=str(index), after=turn)

            assert sum(taken is not None for taken in pool.map(ask, range(len(askers)))) == 1
