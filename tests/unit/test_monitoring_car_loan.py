"""Drift on public data with a known change: raised in the first changed chunk, and nowhere before.

The change is at row 25,000 of the analysis period: see tests/data/car_loan/README.md, which says
too which columns did not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from registry.profile import LabelProfile, NumberProfile, ReferenceProfile
from tests.fakes.prediction_log import prediction
from training.monitoring.reference import Reference
from training.monitoring.rules import drift
from training.monitoring.tally import Tally
from training.monitoring.thresholds import RulesFile
from training.monitoring.verdict import State, Verdict

FOLDER = Path(__file__).resolve().parents[1] / "data" / "car_loan"
LIMITS = RulesFile.read().of("car-loan")
NUMBERS = ("car_value", "debt_to_income_ratio", "driver_tenure")
LABELS = ("salary_range", "repaid_loan_on_prev_car", "size_of_downpayment", "loan_length")
CHUNK = 500
CHANGED_AT = 25_000
CHANGED = {"car_value", "salary_range", "repaid_loan_on_prev_car", "loan_length"}


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv.gz")


@pytest.fixture(scope="module")
def reference() -> Reference:
    learnt = table("reference")
    profile = ReferenceProfile(
        len(learnt),
        {name: NumberProfile.of(learnt[name].to_numpy(dtype=float)) for name in NUMBERS},
        {name: LabelProfile.of(learnt[name]) for name in LABELS},
    )
    return Reference(experiment="car-loan", profile=profile, features=(*NUMBERS, *LABELS))


@pytest.fixture(scope="module")
def asked() -> pd.DataFrame:
    return table("analysis")


def judged(reference: Reference, rows: pd.DataFrame) -> list[Verdict]:
    """Verdicts on rows as the log has them, twenty a request."""
    tally = Tally(reference=reference, since=0, until=300)
    for first in range(0, len(rows), 20):
        part = rows.iloc[first : first + 20]
        inputs = {name: part[name].tolist() for name in (*NUMBERS, *LABELS)}
        tally.add(prediction(inputs=inputs, rows=len(part)))
    return [*drift(tally, LIMITS)]


def raised(reference: Reference, rows: pd.DataFrame) -> set[str]:
    found = judged(reference, rows)
    assert {verdict.state for verdict in found} <= {State.FINE, State.RAISED}
    return {verdict.column for verdict in found if verdict.state is State.RAISED}


def chunks(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for first in range(0, len(rows), CHUNK):
        yield rows.iloc[first : first + CHUNK]


def test_drift_is_raised_in_the_first_changed_chunk_and_in_all_after_it(
    reference: Reference, asked: pd.DataFrame
) -> None:
    after = asked[asked["row"] >= CHANGED_AT]
    assert len(after) == 5000
    first, *others = [raised(reference, chunk) for chunk in chunks(after)]
    assert first >= CHANGED - {"salary_range"}, "whose change is about the threshold"
    assert all("car_value" in found for found in others)


def test_nothing_is_raised_before_the_change(reference: Reference, asked: pd.DataFrame) -> None:
    before = asked[asked["row"] < CHANGED_AT]
    assert len(before) == 5000
    assert [raised(reference, chunk) for chunk in chunks(before)] == [set()] * 10


def test_a_feature_that_did_not_change_is_never_raised(
    reference: Reference, asked: pd.DataFrame
) -> None:
    found = set().union(*(raised(reference, chunk) for chunk in chunks(asked)))
    assert found == CHANGED


def test_a_change_that_is_planted_is_seen(reference: Reference, asked: pd.DataFrame) -> None:
    before = asked[asked["row"] < CHANGED_AT].iloc[:CHUNK]
    planted = before.assign(driver_tenure=before["driver_tenure"] * 1.5, size_of_downpayment="10%")
    assert raised(reference, planted) == {"driver_tenure", "size_of_downpayment"}


def test_too_few_rows_of_a_change_are_unknown(reference: Reference, asked: pd.DataFrame) -> None:
    after = asked[asked["row"] >= CHANGED_AT].iloc[:100]
    assert {verdict.state for verdict in judged(reference, after)} == {State.UNKNOWN}
