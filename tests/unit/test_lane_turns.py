"""What the loop answers by itself: in turns, between which it hears everybody."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import pytest

from registry.errors import Overloaded
from serving.answer import Answer
from serving.lane.turns import Turns
from tests.servingfakes.loops import on_a_loop

OK = Answer(200, {}, b"")


class Waiting:
    """Gives work, and writes down what becomes of it."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.told: list[Answer | Exception | str] = []

    def give(
        self, work: Callable[[], Answer], *, seconds: float = 0.0, until: float = math.inf
    ) -> None:
        self.turns.give(work, seconds=seconds, until=until, then=lambda it, _: self.told.append(it))

    async def all_told(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.told) < count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0)


def slow() -> Answer:
    time.sleep(0.003)
    return OK


def test_others_are_heard_between_two_that_take_long() -> None:
    async def scene() -> None:
        waiting = Waiting()
        for _ in range(5):
            waiting.give(slow)
        heard = 0
        while len(waiting.told) < 5:
            heard += 1
            assert heard < 1000
            await asyncio.sleep(0)
        assert heard >= 5
        assert waiting.told == [OK] * 5

    on_a_loop(scene)


def test_those_that_are_quick_share_a_turn_and_keep_their_order() -> None:
    async def scene() -> None:
        waiting = Waiting()
        for number in range(20):
            waiting.give(lambda number=number: Answer(number, {}, b""))  # type: ignore[misc]
        await asyncio.sleep(0)
        assert waiting.told, "the turn came"
        await waiting.all_told(20)
        assert [one.status for one in waiting.told if isinstance(one, Answer)] == [*range(20)]

    on_a_loop(scene)


def test_nothing_is_done_before_the_giver_goes_on() -> None:
    async def scene() -> None:
        waiting = Waiting()
        waiting.give(lambda: OK)
        assert not waiting.told
        await waiting.all_told(1)

    on_a_loop(scene)


def test_what_would_wait_too_long_is_turned_away_until_there_is_room() -> None:
    async def scene() -> None:
        waiting = Waiting()
        for _ in range(6):
            waiting.give(lambda: OK, seconds=0.01)
        with pytest.raises(Overloaded, match="too many requests at once"):
            waiting.give(lambda: OK, seconds=0.01)
        await waiting.all_told(6)
        waiting.give(lambda: OK, seconds=0.01)
        await waiting.all_told(7)

    on_a_loop(scene)


def test_a_turn_that_comes_too_late_is_not_taken() -> None:
    async def scene() -> None:
        waiting = Waiting()
        waiting.give(slow)
        waiting.give(lambda: OK, until=time.monotonic())
        waiting.give(lambda: OK)
        await waiting.all_told(3)
        assert [type(one) for one in waiting.told] == [Answer, Overloaded, Answer]

    on_a_loop(scene)


def test_one_that_fails_is_told_so_and_the_next_has_its_turn() -> None:
    def broken() -> Answer:
        raise KeyError("x")

    async def scene() -> None:
        waiting = Waiting()
        waiting.give(broken)
        waiting.give(lambda: OK)
        await waiting.all_told(2)
        assert [type(one) for one in waiting.told] == [KeyError, Answer]

    on_a_loop(scene)


def test_who_is_answered_may_ask_again_at_once() -> None:
    async def scene() -> None:
        waiting = Waiting()
        asked = iter(range(5))

        def then(_: object, __: float) -> None:
            waiting.told.append("answered")
            if next(asked, None) is not None:
                waiting.turns.give(lambda: OK, seconds=0.0, until=math.inf, then=then)

        waiting.turns.give(lambda: OK, seconds=0.0, until=math.inf, then=then)
        await waiting.all_told(6)
        assert waiting.told == ["answered"] * 6

    on_a_loop(scene)
