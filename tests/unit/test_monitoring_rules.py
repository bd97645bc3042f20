"""Every rule: raised, fine, and unknown on too few; none where it does not concern a version."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from registry.predictions import Prediction
from registry.profile import LabelProfile, NumberProfile, ReferenceProfile
from tests.fakes.prediction_log import Told, classified, prediction
from training.monitoring.reference import Reference
from training.monitoring.rules import judge, judge_truth
from training.monitoring.tally import Tally
from training.monitoring.thresholds import RULES, RulesFile, Thresholds
from training.monitoring.verdict import State, Verdict

LIMITS = RulesFile.read().of("iris")
FLAT = NumberProfile((0.25, 0.5, 0.75), (0.25,) * 4)
PROFILE = ReferenceProfile(
    5000,
    {"x": FLAT},
    {"kind": LabelProfile({"a": 0.5, "b": 0.5})},
    predicted=LabelProfile({"0": 0.5, "1": 0.5}),
    predicted_rows=1000,
)
IRIS = Reference(
    experiment="iris-pipeline",
    profile=PROFILE,
    features=("x", "kind"),
    labels=("setosa", "virginica"),
    metrics={"accuracy": 0.95},
    rows=1000,
)
PRICES = Reference(experiment="prices", metrics={"mae": 2.0}, rows=100)
SPAN = (0.0, 100.0)


def seen(
    records: Sequence[Prediction], reference: Reference = IRIS, baseline: float | None = None
) -> Tally:
    tally = Tally(reference=reference, since=0, until=3600, baseline=baseline)
    for record in records:
        tally.add(record)
    return tally


def verdict(rule: str, tally: Tally, limits: Thresholds = LIMITS, *, column: str = "") -> Verdict:
    [found] = [v for v in judge(tally, limits) if v.rule == rule and v.column == column]
    return found


def even(number: int) -> list[float]:
    """Numbers that fall into the bins of FLAT in the same share each."""
    return [(i % 4) / 4 + 0.1 for i in range(number)]


def asked(xs: Sequence[float]) -> list[Prediction]:
    return [prediction(inputs={"x": [x]}) for x in xs]


@pytest.mark.parametrize(
    ("xs", "state"),
    [(even(1000), State.FINE), ([0.1] * 1000, State.RAISED), ([0.1] * 150, State.UNKNOWN)],
)
def test_drift_of_a_number(xs: list[float], state: State) -> None:
    found = verdict("drift", seen(asked(xs)), column="x")
    assert (found.state, found.samples, found.needed) == (state, len(xs), 200)
    assert found.value is not None


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["a", "b"] * 200, State.FINE),
        (["a"] * 400, State.RAISED),
        (["a", "b", "new"] * 200, State.RAISED),
        (["a"] * 150, State.UNKNOWN),
    ],
)
def test_drift_of_a_label(kinds: list[str], state: State) -> None:
    records = [prediction(inputs={"kind": [kind]}) for kind in kinds]
    assert verdict("drift", seen(records), column="kind").state is state


def test_a_feature_that_no_record_has_is_unknown_and_says_so() -> None:
    found = verdict("drift", seen(asked(even(500))), column="kind")
    assert (found.state, found.value, found.samples) == (State.UNKNOWN, None, 0)


def test_a_column_that_is_hashed_is_not_taken_for_numbers() -> None:
    records = [prediction(inputs={"x": ["5f2a"]}) for _ in range(300)]
    assert verdict("drift", seen(records), column="x").state is State.UNKNOWN


def test_a_version_without_a_profile_is_unknown_and_says_why() -> None:
    bare = Reference(experiment="iris", missing="its bundle has no profile.json")
    found = verdict("drift", seen(asked(even(1000)), bare))
    assert (found.state, found.why) == (State.UNKNOWN, "its bundle has no profile.json")


@pytest.mark.parametrize(
    ("shares", "state"),
    [
        ([(0.9, 0.1), (0.1, 0.9)] * 200, State.FINE),
        ([(0.9, 0.1)] * 400, State.RAISED),
        ([(0.9, 0.1)] * 100, State.UNKNOWN),
    ],
)
def test_drift_of_predictions(shares: list[tuple[float, ...]], state: State) -> None:
    """Numbers of classes are held against the profile's by their names."""
    found = verdict("prediction_drift", seen([classified(*one) for one in shares]))
    assert found.state is state


def test_drift_of_predicted_numbers() -> None:
    profile = dataclasses.replace(PROFILE, predicted=FLAT)
    reference = Reference(experiment="e", profile=profile)
    for values, state in ((even(400), State.FINE), ([0.9] * 400, State.RAISED)):
        records = [prediction(outputs={"variable": [[value]]}) for value in values]
        assert verdict("prediction_drift", seen(records, reference)).state is state


@pytest.mark.parametrize(
    ("share", "number", "state"),
    [(0.9, 100, State.FINE), (0.55, 100, State.RAISED), (0.55, 99, State.UNKNOWN)],
)
def test_confidence(share: float, number: int, state: State) -> None:
    found = verdict("confidence", seen([classified(share, 1 - share)] * number))
    assert (found.state, found.threshold) == (state, 0.6)
    assert found.value == pytest.approx(share)


def test_confidence_at_the_threshold_is_fine() -> None:
    assert verdict("confidence", seen([classified(0.6, 0.4)] * 100)).state is State.FINE


@pytest.mark.parametrize(
    ("unsure", "number", "state"),
    [(29, 100, State.FINE), (31, 100, State.RAISED), (31, 50, State.UNKNOWN)],
)
def test_low_confidence(unsure: int, number: int, state: State) -> None:
    records = [classified(0.55, 0.45)] * unsure + [classified(0.99, 0.01)] * (number - unsure)
    assert verdict("low_confidence", seen(records)).state is state


@pytest.mark.parametrize(
    ("slow", "number", "state"),
    [(4, 100, State.FINE), (10, 100, State.RAISED), (10, 20, State.UNKNOWN)],
)
def test_inference_time(slow: int, number: int, state: State) -> None:
    records = [prediction(latency_ms=6000)] * slow + [prediction()] * (number - slow)
    assert verdict("inference_time", seen(records)).state is state


@pytest.mark.parametrize(
    ("most", "number", "state"),
    [(80, 100, State.FINE), (81, 100, State.RAISED), (81, 90, State.UNKNOWN)],
)
def test_one_class(most: int, number: int, state: State) -> None:
    records = [classified(0.9, 0.1)] * most + [classified(0.1, 0.9)] * (number - most)
    assert verdict("one_class", seen(records)).state is state


@pytest.mark.parametrize(
    ("price", "number", "state"),
    [(12.0, 50, State.FINE), (16.0, 50, State.RAISED), (16.0, 49, State.UNKNOWN)],
)
def test_deviation_from_the_last_known_price(price: float, number: int, state: State) -> None:
    outputs = {"ds": ["2026-11-02", "2026-11-03"], "yhat": [price, price]}
    record = prediction(outputs=outputs, last_known_price=10.0, rows=2)
    found = verdict("deviation", seen([record] * number, PRICES))
    assert (found.state, found.value) == (state, pytest.approx(price / 10 - 1))


def test_deviation_from_a_baseline_that_is_set() -> None:
    records = [prediction(outputs={"variable": [200.0]})] * 100
    assert verdict("deviation", seen(records, PRICES, 100.0)).state is State.RAISED
    assert verdict("deviation", seen(records, PRICES, 190.0)).state is State.FINE


def test_a_forecast_is_not_asked_about_classes_or_without_a_baseline() -> None:
    records = [prediction(outputs={"ds": ["2026-11-02"], "yhat": [5.0]})] * 200
    assert {v.rule for v in judge(seen(records, PRICES), LIMITS)} == {"drift", "inference_time"}


def test_refused_requests_are_no_predictions() -> None:
    tally = seen([prediction(status=422, outputs={}), prediction(status=503), classified(1.0, 0.0)])
    assert (tally.requests, tally.refused, tally.failed, tally.rows) == (3, 1, 1, 1)


def pairs(wrong: int, number: int) -> list[Told]:
    """As many wrong ones as said, spread evenly."""
    every = number / wrong if wrong else number + 1
    marks = {int(i * every) for i in range(wrong)}
    return [
        Told(version="1", time=i, predicted="a", truth="b" if i in marks else "a")
        for i in range(number)
    ]


def truth(rule: str, known: Sequence[Told], reference: Reference = IRIS) -> Verdict:
    [found] = [v for v in judge_truth(known, reference, LIMITS, SPAN) if v.rule == rule]
    return found


@pytest.mark.parametrize(
    ("wrong", "number", "state"),
    [
        (20, 100, State.FINE),
        (21, 100, State.RAISED),
        (21, 49, State.UNKNOWN),
        (0, 0, State.UNKNOWN),
    ],
)
def test_accuracy(wrong: int, number: int, state: State) -> None:
    found = truth("accuracy", pairs(wrong, number))
    assert (found.state, found.since, found.until) == (state, *SPAN)


@pytest.mark.parametrize(
    ("wrong", "number", "state"),
    [(50, 1000, State.FINE), (200, 1000, State.RAISED), (20, 40, State.UNKNOWN)],
)
def test_errors_against_the_accuracy_at_promotion(wrong: int, number: int, state: State) -> None:
    assert truth("error_drift", pairs(wrong, number)).state is state


@pytest.mark.parametrize(
    ("error", "number", "state"),
    [(2.0, 300, State.FINE), (4.0, 300, State.RAISED), (4.0, 30, State.UNKNOWN)],
)
def test_errors_against_the_mae_at_promotion(error: float, number: int, state: State) -> None:
    known = [Told(version="1", time=i, predicted=10.0, truth=10.0 + error) for i in range(number)]
    assert truth("error_drift", known, PRICES).state is state
    assert [v.rule for v in judge_truth(known, PRICES, LIMITS, SPAN)] == ["error_drift"]


def test_errors_of_a_version_that_nobody_measured_are_unknown() -> None:
    found = truth("error_drift", pairs(90, 100), Reference(experiment="e"))
    assert (found.state, found.why) == (State.UNKNOWN, "promotion measured no accuracy")


def test_a_perfect_hold_out_of_thirty_rows_is_not_taken_for_perfection() -> None:
    perfect = dataclasses.replace(IRIS, metrics={"accuracy": 1.0}, rows=30)
    assert truth("error_drift", pairs(50, 1000), perfect).state is State.FINE


def test_every_rule_can_be_raised_here_and_be_off() -> None:
    """What makes all of them raise at once, and nothing of it once they are off."""
    records = [
        prediction(
            inputs={"x": [0.1], "kind": ["a"]},
            outputs={"label": [0], "probabilities": [[0.51, 0.49]]},
            latency_ms=9000,
        )
    ] * 300
    forecasts = [prediction(outputs={"yhat": [20.0]}, last_known_price=10.0)] * 300
    found = [
        *judge(seen(records), LIMITS),
        *judge(seen(forecasts, PRICES), LIMITS),
        *judge_truth(pairs(300, 600), IRIS, LIMITS, SPAN),
    ]
    assert {v.rule for v in found if v.state is State.RAISED} == {*RULES}
    off = dataclasses.replace(LIMITS, off=RULES)
    assert judge(seen(records), off) == judge_truth(pairs(300, 600), IRIS, off, SPAN) == []


def test_nothing_at_all_is_unknown_and_never_fine() -> None:
    found = [*judge(seen([]), LIMITS), *judge_truth([], IRIS, LIMITS, SPAN)]
    assert {v.rule for v in found} == {*RULES} - {"deviation"}
    assert {v.state for v in found} == {State.UNKNOWN}
    assert all(v.why for v in found)


def test_a_verdict_says_window_sample_and_threshold() -> None:
    said = str(verdict("one_class", seen([classified(0.9, 0.1)] * 120)))
    assert said == (
        "one_class: raised: 1 against 0.8 on 120 of at least 100, "
        "1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z"
    )


def test_tallies_add_up() -> None:
    """What is judged of two windows is what would be judged of both as one."""
    rng = np.random.default_rng(3)
    records = [
        prediction(
            inputs={"x": [float(x)]},
            outputs={"label": [int(x > 0.5)], "probabilities": [[1 - float(x), float(x)]]},
        )
        for x in rng.uniform(size=600)
    ]
    both = Tally.of([seen(records[:200]), seen(records[200:])])
    assert judge(both, LIMITS) == judge(seen(records), LIMITS)
    assert both.probabilities == pytest.approx(seen(records).probabilities)
