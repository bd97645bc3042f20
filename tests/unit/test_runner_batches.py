"""Batches: requests that came meanwhile share one call, and each gets its own answer or error."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from registry.rowwise import Arrays, is_row_wise
from registry.signature import Tensor
from serving.runner.batches import Batches

LATER = 1e9
INPUTS = (Tensor("x", "float64", (-1,)),)


class Model:
    """Triples `x`, and remembers how it was called."""

    def __init__(self, answer: Callable[[Any], Arrays] | None = None) -> None:
        self._answer = answer or (lambda x: {"y": x * 3})
        self.calls: list[list[float]] = []

    def __call__(self, arrays: Arrays) -> Arrays:
        self.calls.append(arrays["x"].tolist())
        return self._answer(arrays["x"])


def submit(batches: Batches, *rows: float, deadline: float = LATER) -> Future[Arrays]:
    return batches.submit({"x": np.array(rows, float)}, deadline=deadline)


def y(future: Future[Arrays]) -> Any:
    return np.asarray(future.result(0)["y"]).tolist()


def test_requests_that_wait_together_are_one_call_and_get_their_own_rows() -> None:
    batches = Batches(model := Model(), most_rows=10)
    futures = [submit(batches, 1), submit(batches, 2, 3), submit(batches, 4)]
    assert batches.step() == 3
    assert [y(future) for future in futures] == [[3], [6, 9], [12]]
    assert model.calls == [[1, 2, 3, 4]]


def test_a_call_holds_no_more_rows_than_allowed_and_what_is_over_comes_next() -> None:
    batches = Batches(model := Model(), most_rows=3)
    futures = [submit(batches, 1, 2), submit(batches, 3, 4), submit(batches, 5)]
    assert [batches.step(), batches.step()] == [2, 1]
    assert [y(future) for future in futures] == [[3, 6], [9, 12], [15]]
    assert model.calls == [[1, 2, 5], [3, 4]]


def test_a_request_larger_than_a_batch_goes_alone_and_whole() -> None:
    batches = Batches(model := Model(), most_rows=2)
    future = submit(batches, 1, 2, 3, 4)
    assert (batches.step(), y(future), model.calls) == (1, [3, 6, 9, 12], [[1, 2, 3, 4]])


def test_one_row_a_batch_joins_nothing() -> None:
    batches = Batches(model := Model(), most_rows=1)
    futures = [submit(batches, n) for n in (1, 2)]
    assert [batches.step(), batches.step()] == [1, 1]
    assert ([y(f) for f in futures], model.calls) == ([[3], [6]], [[1], [2]])


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.float32([1])},
        {"z": np.array([1.0])},
        {"x": np.array([[1.0, 2.0]])},
        {"x": np.array(1.0)},
        {"x": np.array([1.0]), "z": np.array([1.0, 2.0])},
    ],
    ids=["another type", "another column", "another shape", "no rows", "uneven rows"],
)
def test_requests_that_are_not_alike_are_not_joined(other: Arrays) -> None:
    calls = []

    def run(arrays: Arrays) -> Arrays:
        calls.append(arrays)
        return {"y": np.zeros(np.shape(arrays.get("x", 1.0)) or 1)}

    batches = Batches(run, most_rows=10)
    futures = [submit(batches, 1), batches.submit(other, deadline=LATER), submit(batches, 2)]
    assert [batches.step(), batches.step()] == [2, 1]
    assert all(future.done() for future in futures)
    assert (calls[0]["x"].tolist(), calls[1:]) == ([1, 2], [other])


def test_an_error_stays_with_the_request_that_causes_it() -> None:
    def picky(x: Any) -> Arrays:
        if (x == 13).any():
            raise ValueError("13 is not taken")
        return {"y": x * 3}

    batches = Batches(Model(picky), most_rows=10)
    futures = [submit(batches, n) for n in (1, 13, 2)]
    batches.step()
    assert (y(futures[0]), y(futures[2])) == ([3], [6])
    with pytest.raises(ValueError, match="13"):
        futures[1].result(0)


@pytest.mark.parametrize("answer", [lambda x: {"y": x[:1]}, lambda x: {"y": np.float64(7)}])
def test_an_answer_that_cannot_be_told_apart_is_asked_for_again_one_by_one(answer: Any) -> None:
    batches = Batches(model := Model(answer), most_rows=10)
    futures = [submit(batches, 1), submit(batches, 2)]
    batches.step()
    assert [future.done() for future in futures] == [True, True]
    assert model.calls == [[1, 2], [1], [2]]


def test_a_request_nobody_waits_for_is_not_asked() -> None:
    now = [0.0]
    batches = Batches(model := Model(), most_rows=10, clock=lambda: now[0])
    late, patient = submit(batches, 1, deadline=5), submit(batches, 2, deadline=50)
    now[0] = 10
    batches.step()
    assert (y(patient), model.calls) == ([6], [[2]])
    with pytest.raises(TimeoutError):
        late.result(0)


def test_memory_that_ran_out_ends_the_thread_and_is_not_an_answer() -> None:
    def greedy(_: Any) -> Arrays:
        raise MemoryError

    batches = Batches(Model(greedy), most_rows=10)
    submit(batches, 1)
    with pytest.raises(MemoryError):
        batches.step()


def test_many_threads_on_a_slow_model_share_its_calls_and_keep_their_answers() -> None:
    def slow(x: Any) -> Arrays:
        time.sleep(0.005)
        return {"y": x * 3}

    batches = Batches(model := Model(slow), most_rows=100)
    with ThreadPoolExecutor(17) as pool:
        pool.submit(_serve, batches, 200)
        answers = list(pool.map(lambda n: submit(batches, n).result(10)["y"].tolist(), range(200)))
    assert answers == [[3.0 * n] for n in range(200)]
    assert len(model.calls) < 100


def _serve(batches: Batches, requests: int) -> None:
    while requests:
        requests -= batches.step()


ROWS = [{"x": np.array([1.0, 2.5])}]
BY_ITSELF: dict[str, Callable[[Any], Arrays]] = {
    "numbers": lambda x: {"y": x * 3},
    "texts": lambda x: {"y": np.array([str(v) for v in x], dtype=object)},
    "records": lambda x: {"y": [{"a": float(v), "b": "c"} for v in x]},
    "almost equal": lambda x: {"y": x * (1 + 1e-9 * len(x))},
}
TOGETHER: dict[str, Callable[[Any], Arrays]] = {
    "centred": lambda x: {"y": x - x.mean()},
    "ranked": lambda x: {"y": np.argsort(np.argsort(x))},
    "counted": lambda x: {"y": np.full(len(x), len(x))},
    "sorted downwards": lambda x: {"y": np.sort(x)[::-1]},
    "one for all": lambda x: {"y": x[:1]},
    "records that rank": lambda x: {"y": [{"a": int(n)} for n in np.argsort(x)]},
}


@pytest.mark.parametrize("answer", BY_ITSELF.values(), ids=BY_ITSELF)
def test_a_model_that_answers_each_row_by_itself_is_seen_to(answer: Any) -> None:
    assert is_row_wise(Model(answer), INPUTS, ROWS)


@pytest.mark.parametrize("answer", TOGETHER.values(), ids=TOGETHER)
def test_a_model_that_looks_at_the_other_rows_is_seen_to(answer: Any) -> None:
    assert not is_row_wise(Model(answer), INPUTS, ROWS)


@pytest.mark.parametrize(
    "asked", [[], [{"x": np.array([1.0])}], [{"x": np.array([1.0, 1.0])}]], ids=str
)
def test_without_two_different_rows_nothing_is_assumed(asked: Any) -> None:
    assert not is_row_wise(Model(), INPUTS, asked)


def test_a_model_with_a_fixed_number_of_rows_is_never_asked_for_more() -> None:
    model = Model()
    assert not is_row_wise(model, [Tensor("x", "float64", (2,))], ROWS)
    assert model.calls == []


def test_rows_of_several_requests_count_together() -> None:
    assert is_row_wise(Model(), INPUTS, [{"x": np.array([1.0])}, {"x": np.array([2.0])}])
