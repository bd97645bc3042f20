"""A study proposes what it may, keeps what it tried, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import StepFailed, UsageError
from training.parameter import Parameter, Range, Values
from training.study import Study

DEPTH = Parameter(name="depth", default=3, help="", search=Range(1, 8))
RATE = Parameter(name="rate", default=0.1, help="", search=Range(0.001, 1.0, log=True))
MODE = Parameter(
    name="mode", default="plain", choices=("plain", "odd"), help="", search=("plain", "odd")
)
FREE = (DEPTH, RATE, MODE)
START: Values = {"depth": 3, "rate": 0.1, "mode": "plain", "left": True}


def opened(folder: Path, *, greater_is_better: bool = False) -> Study:
    return Study.open(folder / "tried.journal", FREE, greater_is_better=greater_is_better, seed=7)


def distance(_: int, proposed: Values) -> float:
    return abs(float(proposed["depth"]) - 6) + (proposed["mode"] == "odd")


def ask(
    study: Study,
    judge: Callable[[int, Values], float],
    trials: int,
    *,
    told: list[tuple[int, float | None]] | None = None,
    seconds: float | None = None,
) -> None:
    study.optimise(
        judge,
        START,
        trials=trials,
        seconds=seconds,
        on_trial=lambda number, value: told.append((number, value)) if told is not None else None,
    )


def test_the_first_trial_is_what_it_starts_from_and_all_stay_within(tmp_path: Path) -> None:
    asked: list[Values] = []

    def judge(number: int, proposed: Values) -> float:
        asked.append(proposed)
        return distance(number, proposed)

    ask(opened(tmp_path), judge, 25)
    assert asked[0] == {"depth": 3, "rate": 0.1, "mode": "plain"}
    assert all(1 <= one["depth"] <= 8 and type(one["depth"]) is int for one in asked)
    assert all(0.001 <= one["rate"] <= 1 for one in asked)
    assert {one["mode"] for one in asked} == {"plain", "odd"}


@pytest.mark.parametrize("greater_is_better", [False, True])
def test_the_best_is_the_best_of_all(tmp_path: Path, greater_is_better: bool) -> None:
    study = opened(tmp_path, greater_is_better=greater_is_better)
    ask(study, distance, 20)
    value, best = study.best
    assert value == (max if greater_is_better else min)(study.values.values())
    assert distance(0, best) == value
    assert set(best) == {"depth", "rate", "mode"}
    assert study.importances


def test_it_goes_on_with_what_is_missing_and_proposes_anew(tmp_path: Path) -> None:
    asked: list[Values] = []

    def judge(number: int, proposed: Values) -> float:
        asked.append(proposed)
        return distance(number, proposed)

    ask(opened(tmp_path), judge, 4)
    again = opened(tmp_path)
    ask(again, judge, 10)
    assert len(asked) == again.trials == 10
    rates = [one["rate"] for one in asked]
    assert len({*rates}) == 10
    ask(opened(tmp_path), judge, 10)
    assert len(asked) == 10


def test_a_failed_trial_is_counted_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[tuple[int, float | None]] = []

    def judge(number: int, proposed: Values) -> float:
        if number in {0, 2}:
            raise StepFailed("no convergence")
        return distance(number, proposed)

    study = opened(tmp_path)
    ask(study, judge, 4, told=told)
    assert (study.trials, study.failed, sorted(study.values)) == (4, 2, [1, 3])
    assert [number for number, value in told if value is None] == [0, 2]


def test_a_trial_that_was_cut_off_is_made_up_for(tmp_path: Path) -> None:
    """As kill -9 leaves it: begun, never ended."""

    class Killed(BaseException):
        pass

    def cut(number: int, proposed: Values) -> float:
        if number == 1:
            raise Killed
        return distance(number, proposed)

    study = opened(tmp_path)
    study.inner.ask()
    with pytest.raises(Killed):
        ask(study, cut, 3)
    again = opened(tmp_path)
    ask(again, distance, 3)
    assert len(again.values) >= 2
    assert {"depth", "rate", "mode"} == set(again.best[1])


def test_if_none_succeeded_it_says_so(tmp_path: Path) -> None:
    def judge(*_: object) -> float:
        raise StepFailed("no convergence")

    with pytest.raises(StepFailed, match="'tried': none of 3 trials succeeded"):
        ask(opened(tmp_path), judge, 3)


def test_what_it_was_begun_with_stays(tmp_path: Path) -> None:
    opened(tmp_path).agree({"data": "a1", "seed": 42})
    opened(tmp_path).agree({"data": "a1", "seed": 42})
    with pytest.raises(UsageError, match="'tried': was begun with data a1, now it is b2"):
        opened(tmp_path).agree({"data": "b2", "seed": 42})


def test_it_knows_its_run(tmp_path: Path) -> None:
    assert opened(tmp_path).run_id is None
    opened(tmp_path).belongs_to("abc")
    assert opened(tmp_path).run_id == "abc"


def test_equal_values_have_no_importances(tmp_path: Path) -> None:
    study = opened(tmp_path)
    ask(study, lambda *_: 1.0, 3)
    assert study.importances == {}
    assert len(study.table) == 3
