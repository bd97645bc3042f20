"""Every gate, in each way it can end: a table a gate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from registry.bundle import Bundle, Golden
from registry.candidate import Candidate, Conversion, Current
from registry.evaluation import Comparison, Evaluation
from registry.gates import GATES, Status, judge
from registry.params import Param
from registry.policy import MetricRule, Policy
from registry.signature import Column, Signature
from registry.trial import TrialReport
from tests.fakes import evaluation
from tests.fakes.clock import NEW_YEAR_MS

PASSED, FAILED, SKIPPED, NOTED = Status.PASSED, Status.FAILED, Status.SKIPPED, Status.NOTED
GOLDEN = Golden(({"request": {"x": 1}, "response": {"y": 2}},))
OK = TrialReport(ok=True, engine="onnx", golden=GOLDEN, golden_source="bundle")
CRASHED = TrialReport(ok=False, reason="crashed (signal 9): no last words")
SCALE = Param("scale", "double", 1.0)
X, XZ = Signature((Column("x", "double"),)), Signature((Column("x", "double"), Column("z", "long")))


def candidate(measured: Evaluation | None = None, **changes: Any) -> Candidate:
    """A version that every gate likes; its metrics are its evaluation's."""
    measured = measured or evaluation()
    bundle = Bundle(Path("/nowhere"), "tabular", "onnx", Path("m"), X, evaluation=measured)
    made = Candidate(
        digest="new", trial=OK, now_ms=NEW_YEAR_MS, bundle=bundle, metrics=measured.metrics
    )
    return dataclasses.replace(made, **changes)


def elsewhere(**changes: Any) -> Candidate:
    """A version without anything of ours."""
    bundle = Bundle(Path("/nowhere"), "tabular", "onnx", Path("m"))
    return candidate(**{"bundle": bundle, "metrics": {}, **changes})


def current(measured: Evaluation | None = None, **changes: Any) -> Current:
    """What is in Production."""
    made = Current(version=1, digest="old", signature=X, evaluation=measured or evaluation())
    return dataclasses.replace(made, **changes)


def ended(gate: str, *case: Any) -> tuple[Status | None, str]:
    """How a gate ended and what it got; None if it had nothing to say."""
    who, against, policy = (*case, *(None, Policy())[len(case) - 1 :])
    found = list(GATES[gate](who, against, policy))
    assert len(found) <= 1
    return (found[0].status, found[0].got) if found else (None, "")


def test_complete() -> None:
    broken = candidate(bundle=None, problem="MLmodel: not YAML")
    assert ended("complete", broken) == (FAILED, "MLmodel: not YAML")
    assert ended("complete", elsewhere())[0] is PASSED


def test_complete_names_what_is_missing(tmp_path: Path) -> None:
    tmp_path.joinpath("baton").mkdir()
    bundle = Bundle(tmp_path, "tabular", "onnx", Path("m"))
    status, got = ended("complete", candidate(bundle=bundle))
    assert status is FAILED
    assert "baton/golden.json" in got


def test_packaged() -> None:
    assert ended("packaged", candidate()) == (None, "")
    for ok, status in ((True, PASSED), (False, FAILED)):
        converted = candidate(conversion=Conversion(ok=ok, said="so it went"))
        assert ended("packaged", converted) == (status, "so it went")


def test_servable() -> None:
    assert ended("servable", candidate())[0] is PASSED
    assert ended("servable", candidate(trial=CRASHED)) == (FAILED, CRASHED.reason)


@pytest.mark.parametrize(
    ("trial", "status"),
    [
        (OK, PASSED),
        (CRASHED, SKIPPED),
        (dataclasses.replace(OK, golden_source="input example"), SKIPPED),
        (dataclasses.replace(OK, golden_source="synthetic row"), SKIPPED),
        (dataclasses.replace(OK, golden=None), SKIPPED),
    ],
)
def test_golden(trial: TrialReport, status: Status) -> None:
    assert ended("golden", candidate(trial=trial))[0] is status


@pytest.mark.parametrize(("most", "status"), [(0, None), (12.5, PASSED), (12, FAILED)])
def test_latency(most: float, status: Status | None) -> None:
    policy, slow = Policy(max_latency_ms=most), dataclasses.replace(OK, latency_ms=12.5)
    assert ended("latency", candidate(trial=slow), None, policy)[0] is status
    crashed = ended("latency", candidate(trial=CRASHED), None, policy)
    assert crashed[0] is (SKIPPED if most else None)


@pytest.mark.parametrize(
    ("mine", "theirs", "status"),
    [
        (candidate(), current(), PASSED),
        (candidate(), None, SKIPPED),
        (candidate(), current(signature=None), SKIPPED),
        (elsewhere(), current(), SKIPPED),
        (elsewhere(trial=dataclasses.replace(OK, signature=X)), current(), PASSED),
        (elsewhere(trial=dataclasses.replace(OK, signature=XZ)), current(), FAILED),
        (candidate(), current(signature=XZ), FAILED),
    ],
)
def test_signature(mine: Candidate, theirs: Current | None, status: Status) -> None:
    assert ended("signature", mine, theirs)[0] is status


def declared(params: tuple[Param, ...] = (), labels: tuple[str, ...] = ()) -> Candidate:
    """A version that has these."""
    made = candidate().bundle
    assert made
    schema = {"labels": list(labels)} if labels else {}
    return candidate(bundle=dataclasses.replace(made, params=params, schema=schema))


@pytest.mark.parametrize(
    ("mine", "theirs", "got"),
    [
        (declared((SCALE,)), current(params=(SCALE,)), ""),
        (declared((SCALE,)), current(), ""),
        (declared(), current(params=(SCALE,)), "param 'scale' is gone"),
        (declared((SCALE,)), current(params=(Param("scale", "long", 1),)), ""),
        (
            declared((Param("scale", "long", 1),)),
            current(params=(SCALE,)),
            "param 'scale' was double and is long",
        ),
        (
            declared((Param("scale", "double", [1.0], many=True),)),
            current(params=(SCALE,)),
            "param 'scale' was double and is a list of double",
        ),
        (declared(labels=("b", "a")), current(labels=("b",)), ""),
        (
            declared(labels=("b", "a")),
            current(labels=("a", "b")),
            "classes were a, b and are b, a: numbers mean others",
        ),
        (declared(labels=("a",)), current(labels=("b", "a")), "no longer knows the class 'b'"),
    ],
)
def test_signature_looks_at_params_and_classes_too(
    mine: Candidate, theirs: Current, got: str
) -> None:
    assert ended("signature", mine, theirs) == (FAILED if got else PASSED, got or "compatible")


def test_a_lost_class_is_seen_where_there_is_no_signature() -> None:
    assert ended("signature", elsewhere(), current(signature=None, labels=("a",)))[0] is FAILED


@pytest.mark.parametrize(
    ("mine", "sources", "status"),
    [
        (candidate(), (), None),
        (candidate(), ("yahoo", "csv"), PASSED),
        (candidate(evaluation(source="sample")), ("yahoo", "csv"), FAILED),
        (elsewhere(), ("csv",), FAILED),
    ],
)
def test_source(mine: Candidate, sources: tuple[str, ...], status: Status | None) -> None:
    assert ended("source", mine, None, Policy(sources=sources))[0] is status


@pytest.mark.parametrize(
    ("mine", "least", "status"),
    [
        (candidate(evaluation(rows=1)), 0, None),
        (candidate(evaluation(rows=100)), 100, PASSED),
        (candidate(evaluation(rows=99)), 100, FAILED),
        (elsewhere(), 100, FAILED),
    ],
)
def test_rows(mine: Candidate, least: int, status: Status | None) -> None:
    assert ended("rows", mine, None, Policy(min_rows=least))[0] is status


@pytest.mark.parametrize(
    ("mine", "days", "status"),
    [
        (candidate(evaluation(data_end="1999-01-01")), 0, None),
        (candidate(evaluation(data_end="2025-12-25")), 7, PASSED),
        (candidate(evaluation(data_end="2025-12-24T23:00:00")), 7, FAILED),
        (candidate(evaluation(data_end="2025-12-25T01:00:00+00:00")), 7, PASSED),
        (candidate(evaluation(data_end="2025-12-25T01:00:00+09:00")), 7, FAILED),
        (candidate(evaluation(data_end=None)), 7, FAILED),
        (candidate(evaluation(data_end="1999-01-01", source="sample")), 7, SKIPPED),
        (elsewhere(), 7, FAILED),
    ],
)
def test_age(mine: Candidate, days: float, status: Status | None) -> None:
    assert ended("age", mine, None, Policy(max_age_days=days))[0] is status


@pytest.mark.parametrize(
    ("mine", "theirs", "allowed", "status"),
    [
        (candidate(), current(), False, PASSED),
        (candidate(evaluation(series="USD/BRL")), current(), False, FAILED),
        (candidate(evaluation(series="USD/BRL")), current(), True, PASSED),
        (candidate(), None, False, None),
        (candidate(), current(evaluation=None), False, None),
        (elsewhere(), current(), False, None),
    ],
)
def test_series(
    mine: Candidate, theirs: Current | None, allowed: bool, status: Status | None
) -> None:
    assert ended("series", mine, theirs, Policy(allow_series_change=allowed))[0] is status


def metric(value: float | None, name: str = "accuracy") -> Candidate:
    """A version with one metric, or none."""
    return candidate(evaluation(metrics={} if value is None else {name: value}))


@pytest.mark.parametrize(
    ("value", "bounds", "status"),
    [
        (0.9, {"min": 0.9}, PASSED),
        (0.89, {"min": 0.9}, FAILED),
        (0.89, {"min": 0.9, "report_only": True}, NOTED),
        (15.0, {"max": 15}, PASSED),
        (15.1, {"max": 15}, FAILED),
        (0.5, {"min": 0.4, "max": 0.6}, PASSED),
        (0.7, {"min": 0.4, "max": 0.6}, FAILED),
        (None, {"min": 0.9}, FAILED),
        (None, {"min": 0.9, "report_only": True}, NOTED),
        (float("nan"), {"min": 0.9}, FAILED),
        (float("nan"), {"max": 15}, FAILED),
        (float("inf"), {"max": 15}, FAILED),
        (0.0, {"max": 0}, PASSED),
    ],
)
def test_bound(value: float | None, bounds: dict[str, Any], status: Status) -> None:
    rule = MetricRule(gate="bound", metric="accuracy", **bounds)
    assert ended("bound", metric(value), None, Policy(rules=(rule,)))[0] is status


def scored(mine: float | None, theirs: float | None) -> Candidate:
    """A version whose training scored Production on its own hold-out."""
    metrics = {} if theirs is None else {"mae": theirs}
    compared = Comparison(version=1, digest="old", series="iris", metrics=metrics)
    own = {} if mine is None else {"mae": mine}
    return candidate(evaluation(metrics=own, current=compared, holdout_fingerprint="new"))


@pytest.mark.parametrize(
    ("mine", "theirs", "bounds", "status"),
    [
        (1.1, 1.0, {"max_ratio": 1.1}, PASSED),
        (1.2, 1.0, {"max_ratio": 1.1}, FAILED),
        (1.2, 1.0, {"max_ratio": 1.1, "report_only": True}, NOTED),
        (0.98, 1.0, {"min_ratio": 0.98}, PASSED),
        (0.97, 1.0, {"min_ratio": 0.98}, FAILED),
        (None, 1.0, {"max_ratio": 1.1}, FAILED),
        (1.0, None, {"max_ratio": 1.1}, FAILED),
        (0.0, 0.0, {"max_ratio": 1.1}, PASSED),
        (0.1, 0.0, {"max_ratio": 1.1}, FAILED),
        (0.1, 0.0, {"min_ratio": 0.9}, PASSED),
        (1.0, float("nan"), {"max_ratio": 1.1}, FAILED),
        (float("nan"), 1.0, {"max_ratio": 1.1}, FAILED),
    ],
)
def test_not_worse(
    mine: float | None, theirs: float | None, bounds: dict[str, Any], status: Status
) -> None:
    rule = MetricRule(gate="not_worse", metric="mae", **bounds)
    assert ended("not_worse", scored(mine, theirs), current(), Policy(rules=(rule,)))[0] is status


RULE = Policy(rules=(MetricRule(gate="not_worse", metric="mae", max_ratio=1.1),))


def test_not_worse_is_skipped_by_a_first_promotion() -> None:
    assert ended("not_worse", candidate(), None, RULE)[0] is SKIPPED


def test_not_worse_compares_two_evaluations_on_one_hold_out() -> None:
    mine, theirs = (evaluation(metrics={"mae": value}) for value in (1.0, 2.0))
    assert ended("not_worse", candidate(mine), current(theirs), RULE)[0] is PASSED
    assert ended("not_worse", candidate(theirs), current(mine), RULE)[0] is FAILED


def test_not_worse_refuses_what_was_scored_on_another_hold_out() -> None:
    theirs = evaluation(metrics={"mae": 2.0}, holdout_fingerprint="other")
    status, got = ended("not_worse", metric(1.0, "mae"), current(theirs), RULE)
    assert status is FAILED
    assert "train the candidate again" in got


def test_not_worse_does_not_count_a_comparison_with_another_version() -> None:
    status, _ = ended("not_worse", scored(1.0, 2.0), current(digest="another"), RULE)
    assert status is FAILED


@pytest.mark.parametrize(
    ("mine", "naive", "ratio", "status"),
    [
        (0.9, 0.4, {"min_ratio": 1.5}, PASSED),
        (0.5, 0.4, {"min_ratio": 1.5}, FAILED),
        (0.5, 0.4, {"min_ratio": 1.5, "report_only": True}, NOTED),
        (0.9, None, {"min_ratio": 1.5}, FAILED),
        (None, 0.4, {"min_ratio": 1.5}, FAILED),
        (2.0, 2.0, {"max_ratio": 1.0}, PASSED),
    ],
)
def test_beats_baseline(
    mine: float | None, naive: float | None, ratio: dict[str, Any], status: Status
) -> None:
    rule = MetricRule(gate="beats_baseline", metric="mae", baseline="naive", **ratio)
    own = {} if mine is None else {"mae": mine}
    baselines = {} if naive is None else {"naive": {"mae": naive}}
    who = candidate(evaluation(metrics=own, baselines=baselines))
    assert ended("beats_baseline", who, None, Policy(rules=(rule,)))[0] is status


def test_a_rule_names_itself_in_the_report() -> None:
    rule = MetricRule(gate="beats_baseline", metric="mae", baseline="naive", max_ratio=1)
    [result] = GATES["beats_baseline"](metric(1.0, "mae"), None, Policy(rules=(rule,)))
    assert result.gate == "beats_baseline:mae:naive"


def test_every_gate_is_asked_even_after_one_failed() -> None:
    who = candidate(bundle=None, problem="nothing there", trial=CRASHED)
    results = judge(who, current(), Policy(sources=("csv",), min_rows=1, max_age_days=1))
    failed = [result.gate for result in results if result.status is FAILED]
    assert failed == ["complete", "servable", "source", "rows", "age"]


def test_the_gates_without_numbers_let_a_version_from_elsewhere_pass() -> None:
    shown = {result.gate: result.status for result in judge(elsewhere(), None, Policy())}
    asked = {"complete": PASSED, "servable": PASSED, "golden": PASSED, "signature": SKIPPED}
    assert shown == asked


def test_every_gate_has_a_table_here() -> None:
    assert {f"test_{gate}" for gate in GATES} <= globals().keys()
