"""Joint calls of an engine: who came meanwhile shares one, each gets its own answer or error."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from registry.errors import Overloaded
from registry.rowwise import Arrays
from registry.signature import Tensor
from serving.deadline import begun_by, seconds_left
from serving.engines import batching
from serving.engines.batching import Batched

SECONDS = 30.0
Answer = Callable[[Any], Arrays]


def triple(x: Any) -> Arrays:
    return {"y": x * 3}


class Engine:
    """Triples `x`; each call says that it began, and waits until it may go on."""

    outputs = ("y",)

    def __init__(self, answer: Answer = triple, *, rows: int = -1) -> None:
        self.inputs = (Tensor("x", "float64", (rows,)),)
        self.calls: list[list[float]] = []
        self._answer = answer
        self.hold()

    def hold(self) -> None:
        """From now on each call waits."""
        self.held = True
        self._began, self._go = threading.Semaphore(0), threading.Semaphore(0)

    def run(self, inputs: Arrays) -> Arrays:
        self.calls.append(np.asarray(inputs["x"]).tolist())
        self._began.release()
        if self.held:
            assert self._go.acquire(timeout=SECONDS)
        return self._answer(inputs["x"])

    def until_called(self) -> None:
        assert self._began.acquire(timeout=SECONDS)

    def let_go(self) -> None:
        """From now on nothing waits."""
        self.held = False
        self._go.release(100)


class Bench:
    """A batched engine that is busy with a request for 0, and threads to ask it more."""

    def __init__(self, engine: Engine, *, most_rows: int = 10) -> None:
        self.engine = engine
        self.batched = Batched(engine, most_rows=most_rows)
        self.first = self.ask(0)
        engine.until_called()

    def ask(self, *rows: float) -> Future[Arrays]:
        return self.submit({"x": np.array(rows, float)})

    def submit(self, inputs: Arrays, *, seconds: float = math.inf) -> Future[Arrays]:
        """Ask on a thread that keeps nobody from ending, whatever becomes of it."""
        future: Future[Arrays] = Future()

        def run() -> None:
            try:
                with begun_by(time.monotonic() + seconds):
                    future.set_result(self.batched.run(inputs))
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def wait(self, *requests: tuple[float, ...]) -> list[Future[Arrays]]:
        """Ask these in this order, and see that they wait for the busy engine."""
        asked = []
        for number, rows in enumerate(requests, start=1):
            asked.append(self.ask(*rows))
            self.until_waiting(number)
        return asked

    def until_waiting(self, number: int) -> None:
        deadline = time.monotonic() + SECONDS
        while len(self.batched._waiting) < number:
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(engine: Engine | None = None, **kwargs: Any) -> Bench:
        made.append(Bench(engine or Engine(), **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.engine.let_go()


def y(future: Future[Arrays]) -> Any:
    return np.asarray(future.result(SECONDS)["y"]).tolist()


def test_a_request_that_finds_the_engine_idle_is_asked_at_once() -> None:
    engine = Engine()
    engine.let_go()
    batched = Batched(engine, most_rows=10)
    assert [batched.run({"x": np.array([n])})["y"].tolist() for n in (1, 2)] == [[3], [6]]
    assert engine.calls == [[1], [2]]


def test_what_comes_while_it_is_busy_is_one_call_and_each_gets_its_own_rows(bench: Any) -> None:
    made = bench()
    asked = made.wait((1,), (2, 3), (4,))
    made.engine.let_go()
    assert [y(one) for one in (made.first, *asked)] == [[0], [3], [6, 9], [12]]
    assert made.engine.calls == [[0], [1, 2, 3, 4]]


def test_a_call_holds_no_more_rows_than_allowed_and_what_is_over_comes_next(bench: Any) -> None:
    made = bench(most_rows=3)
    asked = made.wait((1, 2), (3, 4), (5,))
    made.engine.let_go()
    assert [y(one) for one in asked] == [[3, 6], [9, 12], [15]]
    assert made.engine.calls == [[0], [1, 2, 5], [3, 4]]


def test_who_leads_a_call_is_told_its_rows_once() -> None:
    engine = Engine()
    engine.let_go()
    batched = Batched(engine, most_rows=3)
    assert batched.take_led_rows() == 0
    batched.run({"x": np.array([1, 2])})
    assert [batched.take_led_rows(), batched.take_led_rows()] == [2, 0]
    batched.run({"x": np.array([1, 2, 3])})
    assert batched.take_led_rows() == 0, "it was large enough by itself"


def test_of_a_shared_call_one_thread_is_told_the_rows_of_all(bench: Any) -> None:
    made = bench()
    told: Future[int] = Future()

    def first_to_wait() -> None:
        made.batched.run({"x": np.array([1.0])})
        told.set_result(made.batched.take_led_rows())

    threading.Thread(target=first_to_wait, daemon=True).start()
    made.until_waiting(1)
    others = [made.ask(2, 3), made.ask(4)]
    made.until_waiting(3)
    made.engine.let_go()
    assert told.result(SECONDS) == 4
    assert sorted(y(other) for other in others) == [[6, 9], [12]]


def test_a_request_as_large_as_a_batch_waits_for_nobody(bench: Any) -> None:
    made = bench(most_rows=2)
    large = made.ask(1, 2)
    made.engine.until_called()
    assert made.engine.calls == [[0], [1, 2]]
    assert not made.first.done()
    made.engine.let_go()
    assert y(large) == [3, 6]


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.float32([1])},
        {"x": np.array([[1.0, 2.0]])},
        {"x": np.array(1.0)},
        {"x": np.array([1.0]), "z": np.array([1.0, 2.0])},
    ],
    ids=["another type", "another shape", "no rows", "uneven rows"],
)
def test_requests_that_are_not_alike_are_not_joined(bench: Any, other: Arrays) -> None:
    made = bench()
    asked = made.wait((1,), (2,))
    different = made.submit(other)
    made.engine.let_go()
    assert [y(one) for one in asked] == [[3], [6]]
    assert y(different) == (np.asarray(other["x"]) * 3).tolist()
    assert np.asarray(other["x"]).tolist() in made.engine.calls


def picky(x: Any) -> Arrays:
    if (x == 13).any():
        raise ValueError("13 is not taken")
    return triple(x)


@pytest.mark.parametrize("place", range(3))
def test_an_error_stays_with_the_request_that_causes_it(bench: Any, place: int) -> None:
    """Whether it leads the joint call or goes along."""
    made = bench(Engine(picky))
    rows = [(1.0,), (2.0,)]
    rows.insert(place, (13.0,))
    asked = made.wait(*rows)
    made.engine.let_go()
    with pytest.raises(ValueError, match="13 is not taken"):
        asked.pop(place).result(SECONDS)
    assert [y(one) for one in asked] == [[3], [6]]


def test_an_error_of_a_request_alone_is_its_own_and_the_next_is_asked(bench: Any) -> None:
    made = bench(Engine(lambda x: picky(x + 13) if x[0] == 0 else picky(x)))
    [asked] = made.wait((1,))
    made.engine.let_go()
    with pytest.raises(ValueError, match="13"):
        made.first.result(SECONDS)
    assert y(asked) == [3]


@pytest.mark.parametrize(
    "answer", [lambda x: {"y": x[:1] * 3}, lambda x: {"y": np.float64(x[0] * 3)}], ids=["1", "0-d"]
)
def test_an_answer_that_cannot_be_told_apart_is_asked_for_one_by_one_from_then_on(
    bench: Any, answer: Answer
) -> None:
    made = bench(Engine(answer))
    asked = made.wait((1,), (2,))
    made.engine.let_go()
    assert [np.ravel(y(one)).tolist() for one in asked] == [[3], [6]]
    assert (made.engine.calls[1], sorted(made.engine.calls[2:])) == ([1, 2], [[1], [2]])
    made.engine.hold()
    again = [made.ask(5), made.ask(6)]
    for _ in again:
        made.engine.until_called()  # neither waits for the other
    made.engine.let_go()
    assert [np.ravel(y(one)).tolist() for one in again] == [[15], [18]]


def test_lists_of_records_are_told_apart_too(bench: Any) -> None:
    made = bench(Engine(lambda x: {"y": [{"a": float(v)} for v in x]}))
    asked = made.wait((1,), (2, 3))
    made.engine.let_go()
    assert [one.result(SECONDS)["y"] for one in asked] == [[{"a": 1.0}], [{"a": 2.0}, {"a": 3.0}]]
    assert made.engine.calls == [[0], [1, 2, 3]]


def test_a_graph_with_a_fixed_number_of_rows_is_never_asked_for_more(bench: Any) -> None:
    made = bench(Engine(rows=1))
    other = made.ask(1)
    made.engine.until_called()
    assert made.engine.calls == [[0], [1]]
    made.engine.let_go()
    assert y(other) == [3]


class Killed(BaseException):
    """Ends a thread, whatever it does."""


@pytest.mark.parametrize("error", [Killed, MemoryError])
def test_who_waits_is_answered_even_if_the_thread_that_leads_is_killed(
    bench: Any, error: type[BaseException]
) -> None:
    def deadly(x: Any) -> Arrays:
        if len(x) > 1:
            raise error
        return triple(x)

    made = bench(Engine(deadly))
    leader, *others = made.wait((1,), (2,), (3,))
    made.engine.let_go()
    assert [y(one) for one in others] == [[6], [9]]
    if error is Killed:
        with pytest.raises(Killed):
            leader.result(SECONDS)
    else:
        assert y(leader) == [3]
    assert y(made.ask(4)) == [12], "nobody is taken for busy any more"


def test_a_wait_that_is_broken_off_leaves_nothing_behind(bench: Any) -> None:
    made = bench()

    def broken_off(*_: Any) -> None:
        raise Killed

    before = signal.signal(signal.SIGUSR1, broken_off)
    try:
        killer = threading.Thread(
            target=lambda: (made.until_waiting(1), os.kill(os.getpid(), signal.SIGUSR1))
        )
        killer.start()
        with pytest.raises(Killed):
            made.batched.run({"x": np.array([1.0])})
        killer.join(SECONDS)
    finally:
        signal.signal(signal.SIGUSR1, before)
    made.engine.let_go()
    assert y(made.first) == [0]
    assert y(made.ask(4)) == [12]
    assert made.engine.calls == [[0], [4]]


def slow(x: Any) -> Arrays:
    time.sleep(0.002)
    return triple(x)


def wrong_answers(batched: Batched) -> int:
    """How many of 800 requests of 16 threads, each of its own rows, get others than theirs."""

    def one(number: int) -> bool:
        x = np.arange(number, number + 1 + number % 3, dtype=float)
        return np.array_equal(batched.run({"x": x})["y"], x * 3)

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(one, range(800))).count(False)


def free(answer: Answer) -> Engine:
    engine = Engine(answer)
    engine.held = False
    return engine


def test_many_threads_share_calls_and_each_gets_its_own_rows() -> None:
    engine = free(slow)
    assert wrong_answers(Batched(engine, most_rows=32)) == 0
    assert len(engine.calls) < 400
    assert max(len(call) for call in engine.calls) <= 32


def test_that_check_sees_rows_that_went_to_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    real = batching.parted

    def swapped(answer: Arrays, rows: Any) -> Any:
        parts = real(answer, rows)
        return parts and parts[::-1]

    monkeypatch.setattr(batching, "parted", swapped)
    assert wrong_answers(Batched(free(slow), most_rows=32)) > 0


def test_what_is_asked_is_recorded_and_seen_to_be_row_wise_or_not() -> None:
    for answer, expected in ((triple, True), (lambda x: {"y": x - x.mean()}, False)):
        batched = Batched(free(answer), most_rows=10)
        with batched.recording() as asked:
            batched.run({"x": np.array([1.0, 2.5])})
        batched.run({"x": np.array([7.0])})
        assert [one["x"].tolist() for one in asked] == [[1.0, 2.5]]
        assert batched.is_row_wise(asked, rtol=1e-6, atol=1e-6) is expected


def test_a_request_whose_time_runs_out_is_told_and_nothing_is_computed_for_it(bench: Any) -> None:
    made = bench()
    late = made.submit({"x": np.array([1.0])}, seconds=0.05)
    with pytest.raises(Overloaded, match="waited longer than the request allows"):
        late.result(SECONDS)
    [patient] = made.wait((2,))
    made.engine.let_go()
    assert (y(made.first), y(patient)) == ([0], [6])
    assert made.engine.calls == [[0], [2]]


def test_one_that_is_in_time_waits_no_longer_than_its_call(bench: Any) -> None:
    made = bench()
    asked = made.submit({"x": np.array([1.0])}, seconds=SECONDS)
    made.until_waiting(1)
    made.engine.let_go()
    assert y(asked) == [3]


def test_the_time_is_that_of_one_request() -> None:
    assert seconds_left() is None
    with begun_by(time.monotonic() + SECONDS):
        assert 0 < (seconds_left() or 0) <= SECONDS
    with begun_by(time.monotonic() - 1):
        assert seconds_left() == 0
    assert seconds_left() is None
