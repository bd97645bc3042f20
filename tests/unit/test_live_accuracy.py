"""Live accuracy, with numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.live_accuracy import LEAST, Group, Score, scores
from registry.pairing import Pair
from training import metrics


def pair(predicted: float | str, truth: float | str, **given: Any) -> Pair:
    usual: dict[str, Any] = {
        "prediction_id": "p",
        "row": 0,
        "model": "m",
        "version": "1",
        "digest": "",
        "seq": 1,
        "arm": "serve",
        "series": "",
        "time": 0.0,
        "at": 0.0,
        "told": 0.0,
    }
    return Pair(predicted=predicted, truth=truth, **{**usual, **given})


def only(pairs: list[Pair]) -> Score:
    [found] = scores(pairs)
    return found


def test_numbers() -> None:
    """Errors 1, −2, 3, 0: sums 6 and 14; relative 1/4 + 2/8 + 3/2 + 0 = 2."""
    found = only(
        [
            pair(5.0, 4.0, scale=2.0, lower=3.0, upper=4.0),
            pair(6.0, 8.0, scale=2.0, lower=5.0, upper=7.0),
            pair(5.0, 2.0, scale=2.0),
            pair(1.0, 1.0, scale=2.0, lower=0.0, upper=2.0),
        ]
    )
    assert found.n == 4
    assert found.measures == pytest.approx(
        {"mae": 1.5, "rmse": math.sqrt(3.5), "mape": 50.0, "mase": 0.75, "coverage": 2 / 3}
    )


def test_what_these_pairs_do_not_tell_is_unknown() -> None:
    found = only([pair(1.0, 0.0, scale=1.0), pair(2.0, 1.0)])
    assert found.measures == {
        "mae": 1.0,
        "rmse": 1.0,
        "mape": None,
        "mase": None,
        "coverage": None,
    }


def test_labels() -> None:
    """Of 3 a 2 are right, and a is said 3 times; of 2 b 1 is right, and b is said twice.

    Macro-F1 is (2·2/6 + 2·1/4) / 2 = (2/3 + 1/2) / 2 = 7/12. In the bin up to 0.9: 4 pairs, 3
    right, confidences 3.6; in the bin up to 0.6: 1 pair, right 0, confidence 0.6: (0.6 + 0.6) / 5.
    """
    found = only(
        [
            pair("a", "a", confidence=0.9),
            pair("a", "a", confidence=0.9),
            pair("b", "a", confidence=0.6),
            pair("a", "b", confidence=0.9),
            pair("b", "b", confidence=0.9),
        ]
    )
    assert found.measures == pytest.approx({"accuracy": 0.6, "macro_f1": 7 / 12, "ece": 1.2 / 5})


def test_without_confidence_calibration_is_unknown() -> None:
    assert only([pair("a", "a")]).measures == {"accuracy": 1.0, "macro_f1": 1.0, "ece": None}


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_ends_of_confidence_have_their_bins(confidence: float) -> None:
    found = only([pair("a", "a", confidence=confidence)])
    assert found.measures["ece"] == 1.0 - confidence


def test_a_class_that_is_only_said_counts_for_nothing_but_its_mistake() -> None:
    found = only([pair("a", "a"), pair("c", "a")])
    assert found.measures["macro_f1"] == pytest.approx(2 / 3)


def test_each_version_series_and_day_ahead_has_its_score() -> None:
    found = scores(
        [
            pair(1.0, 2.0, version="10", series="B", horizon=1),
            pair(1.0, 2.0, version="2", series="A", horizon=1),
            pair(1.0, 5.0, version="2", series="A", horizon=2),
            pair(1.0, 1.0, version="2", series="B", horizon=1),
            pair("a", "a", version="2", series="A"),
        ]
    )
    assert [(s.group.version, s.group.series, s.group.horizon, s.n) for s in found] == [
        ("2", "A", 0, 2),
        ("2", "A", 0, 1),
        ("2", "A", 1, 1),
        ("2", "A", 2, 1),
        ("2", "B", 0, 1),
        ("2", "B", 1, 1),
        ("10", "B", 0, 1),
        ("10", "B", 1, 1),
    ]
    assert [s.measures.get("mae") for s in found] == [2.5, None, 1.0, 4.0, 0.0, 0.0, 1.0, 1.0]


def test_what_a_version_answered_in_a_split_is_judged_apart() -> None:
    found = scores(
        [
            pair(1.0, 2.0, version="1"),
            pair(1.0, 1.0, version="2", arm="split"),
            pair(1.0, 4.0, version="2"),
            pair(1.0, 9.0, version="2", arm="shadow"),
        ]
    )
    rows = [(s.group.version, s.group.arm, s.measures["mae"]) for s in found]
    assert rows == [
        ("1", "serve", 1.0),
        ("2", "serve", 3.0),
        ("2", "shadow", 8.0),
        ("2", "split", 0.0),
    ]
    assert [s.to_json()["arm"] for s in found] == ["serve", "serve", "shadow", "split"]


def test_too_few_say_so() -> None:
    few, enough = [pair(1.0, 1.0)] * (LEAST - 1), [pair(1.0, 1.0)] * LEAST
    assert (only(few).is_enough, only(enough).is_enough) == (False, True)
    assert (only(few).to_json()["enough"], only(few).to_json()["least"]) == (False, 30)
    assert only(few).to_json()["series"] is None
    assert only(enough).group == Group("m", "1", "")


def test_nothing_came_true() -> None:
    assert [*scores([])] == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_labels_are_measured_as_training_measures_them(said: list[tuple[str, str]]) -> None:
    found = only([pair(predicted, truth) for truth, predicted in said])
    truth, predicted = (np.array(column) for column in zip(*said, strict=True))
    assert found.measures["accuracy"] == pytest.approx(metrics.accuracy(truth, predicted))
    assert found.measures["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted))


NUMBER = st.floats(1, 1e6)


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1))
def test_numbers_are_measured_as_training_measures_them(said: list[tuple[float, float]]) -> None:
    found = only([pair(predicted, truth) for truth, predicted in said])
    truth, predicted = (np.array(column) for column in zip(*said, strict=True))
    for name in ("mae", "rmse", "mape"):
        expected = getattr(metrics, name)(truth, predicted)
        assert found.measures[name] == pytest.approx(expected, rel=1e-9)
