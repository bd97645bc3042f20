"""Rows of an answer, by whichever names and in whichever form a version gives them."""

from __future__ import annotations

from typing import Any

import pytest

from registry.profile import NumberProfile, ReferenceProfile
from tests.fakes.prediction_log import prediction
from training.monitoring.answers import read
from training.monitoring.reference import Reference
from training.monitoring.tally import Tally

DIGEST = {"shape": [20000, 3], "sha256": "5f2a"}


@pytest.mark.parametrize(
    ("outputs", "values", "classes"),
    [
        ({"label": [1, 0], "probabilities": [[0.2, 0.8], [0.9, 0.1]]}, [1, 0], ["1", "0"]),
        (
            {"output_probability": [{"a": 0.2, "b": 0.8}], "output_label": ["b"]},
            ["b"],
            ["b"],
        ),
        (
            {"label": ["cat"], "confidence": [0.7], "probabilities": [[0.7, 0.3]]},
            ["cat"],
            ["cat"],
        ),
        ({"probabilities": [[0.1, 0.9], [0.6, 0.4]]}, [], ["1", "0"]),
        ({"variable": [[2.5], [3.5]]}, [2.5, 3.5], None),
        ({"ds": ["2026-11-02"], "yhat": [5.0], "yhat_lower": [4.0]}, [5.0], None),
        ({"embedding": [[0.1, 0.2, 4.0]]}, [], None),
        ({"label": {"shape": [20000], "sha256": "1c"}, "probabilities": DIGEST}, [], None),
        ({}, [], None),
    ],
)
def test_values_and_classes(
    outputs: dict[str, Any], values: list[Any], classes: list[str] | None
) -> None:
    answer = read(prediction(outputs=outputs))
    assert [*answer.values] == values
    assert answer.is_class is (classes is not None)
    if classes is not None:
        assert answer.classes() == classes


def counted(reference: Reference, **record: Any) -> Tally:
    tally = Tally(reference=reference, since=0, until=60)
    tally.add(prediction(**record))
    return tally


def test_a_large_answer_that_is_only_a_digest_counts_with_its_rows_and_confidence() -> None:
    tally = counted(
        Reference(experiment="e"), outputs={"probabilities": DIGEST}, rows=20_000, confidence=0.5
    )
    assert (tally.rows, len(tally.confidences), sum(tally.classes.values())) == (20_000, 20_000, 0)


def test_classes_and_probabilities_go_by_the_names_of_the_labels() -> None:
    named = Reference(experiment="e", labels=("setosa", "virginica"))
    outputs = {"label": [1], "probabilities": [[0.25, 0.75]]}
    tally = counted(named, outputs=outputs)
    assert tally.classes == {"virginica": 1}
    assert tally.probabilities == {"setosa": 0.25, "virginica": 0.75}
    assert counted(named, outputs={"label": ["other"]}).classes == {"other": 1}


def test_days_of_a_forecast_are_counted_apart_up_to_thirty() -> None:
    days = [f"2026-11-{day + 1:02}" for day in range(30)] * 2
    values = [float(value) for value in range(60)]
    tally = counted(Reference(experiment="e"), outputs={"ds": days, "yhat": values}, rows=60)
    assert tally.days == {day: [day - 1.0] for day in range(1, 31)}
    assert tally.rows == 60


def test_a_cell_that_is_no_number_is_in_no_bin() -> None:
    profile = ReferenceProfile(10, {"x": NumberProfile((0.5,), (0.5, 0.5))}, {})
    reference = Reference(experiment="e", profile=profile, features=("x",))
    tally = counted(reference, inputs={"x": [0.1, None, "9f", True, float("nan"), 0.9]})
    assert tally.column("x") == ([0.5, 0.5], [0.5, 0.5], 2)
    assert counted(reference, inputs={"x": DIGEST}).column("x")[2] == 0


def test_a_version_beside_the_one_that_serves_was_never_the_last_that_did() -> None:
    reference = Reference(experiment="e")
    assert counted(reference, outputs={}, rows=1, time=5.0, arm="split").last == 0
    assert counted(reference, outputs={}, rows=1, time=5.0).last == 5
