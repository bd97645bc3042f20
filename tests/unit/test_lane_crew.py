"""A crew: how many may wait for it, and for how long."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from registry.errors import Overloaded
from serving.answer import Answer
from serving.lane.crew import Crew
from tests.servingfakes.loops import on_a_loop

OK = Answer(200, {}, b"")


class Given:
    """A crew of two, and what became of what it was given."""

    def __init__(self, *, most_waiting: int) -> None:
        self.crew = Crew("test", threads=2, most_waiting=most_waiting)
        self.told: list[Answer | Exception] = []

    def give(self, work: Callable[[], Answer], *, until: float = math.inf) -> None:
        self.crew.give(work, until=until, then=lambda result, _: self.told.append(result))

    async def all_told(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.told) < count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)


@contextmanager
def given(*, most_waiting: int = 100) -> Iterator[Given]:
    """Its threads end with the block."""
    made = Given(most_waiting=most_waiting)
    yield made
    made.crew.close()


def taking(seconds: float) -> Callable[[], Answer]:
    def work() -> Answer:
        time.sleep(seconds)
        return OK

    return work


def let_in(them: Given, work: Callable[[], Answer]) -> int:
    """How many are, before one is turned away."""
    for taken in range(100):
        try:
            them.give(work)
        except Overloaded:
            return taken
    raise AssertionError("nobody is turned away")


def test_as_many_wait_as_are_allowed_and_one_more_is_turned_away() -> None:
    async def scene() -> None:
        go = threading.Event()

        def work() -> Answer:
            assert go.wait(30)
            return OK

        with given(most_waiting=3) as them:
            for _ in range(2 + 3):
                them.give(work)
            with pytest.raises(Overloaded, match="3 requests wait already"):
                them.give(work)
            go.set()
            await them.all_told(5)
            them.give(work)
            await them.all_told(6)
            assert them.told == [OK] * 6

    on_a_loop(scene)


def test_who_would_wait_for_long_is_turned_away_once_the_pace_is_known() -> None:
    async def scene() -> None:
        with given() as them:
            for _ in range(20):  # nothing is known yet: they may wait
                them.give(taking(0.06))
            await them.all_told(18)
            taken = let_in(them, taking(0.06))
            # Half a second is 16 of them, as far as the pace is known; a slow machine lets in less.
            assert taken <= 22
            await them.all_told(20 + taken)
            assert them.told == [OK] * (20 + taken)

    on_a_loop(scene)


def test_for_as_long_as_one_answer_takes_anybody_may_wait() -> None:
    async def scene() -> None:
        with given() as them:
            for _ in range(4):
                them.give(taking(0.7))
            await them.all_told(2)  # one answer from the other: 0.35 s
            await them.all_told(4)
            for _ in range(4):
                them.give(taking(0.7))
            with pytest.raises(Overloaded, match="2 requests wait already"):
                them.give(taking(0.7))
            await them.all_told(8)

    on_a_loop(scene)


def test_what_was_slow_alone_says_nothing_about_waiting() -> None:
    async def scene() -> None:
        with given() as them:
            for number in range(3):
                them.give(taking(0.3))
                await them.all_told(number + 1)
            for _ in range(50):
                them.give(taking(0))
            await them.all_told(53)

    on_a_loop(scene)


def test_it_forgets_a_slow_time() -> None:
    async def scene() -> None:
        with given() as them:
            for _ in range(6):
                them.give(taking(0.2))
            await them.all_told(6)
            done = 6
            for _ in range(40):
                for _ in range(4):  # always let in: two at work, two waiting
                    them.give(taking(0.001))
                done += 4
                await them.all_told(done)
            for _ in range(50):
                them.give(taking(0.001))
            await them.all_told(done + 50)

    on_a_loop(scene)


def test_one_whose_time_is_over_is_not_done() -> None:
    async def scene() -> None:
        with given() as them:
            them.give(taking(0), until=time.monotonic() - 1)
            await them.all_told(1)
            assert isinstance(them.told[0], Overloaded)

    on_a_loop(scene)
