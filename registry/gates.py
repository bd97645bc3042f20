"""Gates: pure functions of (candidate, current, policy) to results. No I/O, no clock.

Evidence is made elsewhere (the trial, the training run) and handed in. Every gate says what it
expected and what it got; `judge` runs them all, so that a report shows everything at once.
Comparisons without anything to compare with are *skipped*, never *passed*.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from registry import params
from registry.candidate import Candidate, Current
from registry.policy import MetricRule, Policy

_SECONDS_A_DAY = 86_400
# Bundled data is as old as the release it came with.
_AGELESS_SOURCES = frozenset({"sample"})


class Status(StrEnum):
    """How a gate ended; only FAILED refuses a version."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOTED = "noted"


@dataclass(frozen=True)
class GateResult:
    """One line of a report: `NOTED` is a report-only rule that would have failed."""

    gate: str
    status: Status
    expected: str
    got: str


Gate = Callable[[Candidate, Current | None, Policy], Iterator[GateResult]]


def complete(
    candidate: Candidate, _current: Current | None, _policy: Policy
) -> Iterator[GateResult]:
    """Every file that the version's form asks for is there and readable."""
    missing = candidate.bundle.missing() if candidate.bundle else ()
    problem = candidate.problem or (f"missing {', '.join(missing)}" if missing else "")
    yield _result("complete", not problem, "all files of the bundle", problem or "all there")


def packaged(
    candidate: Candidate, _current: Current | None, _policy: Policy
) -> Iterator[GateResult]:
    """What is code was converted to ONNX that answers the same."""
    if made := candidate.conversion:
        yield _result("packaged", made.ok, "converts to ONNX that answers the same", made.said)


def servable(
    candidate: Candidate, _current: Current | None, _policy: Policy
) -> Iterator[GateResult]:
    """An engine that is allowed here loads it, and its answers are finite numbers."""
    trial = candidate.trial
    got = f"{trial.engine} in {trial.load_ms:.0f} ms" if trial.ok else trial.reason
    yield _result("servable", trial.ok, "loads and answers in its trial", got)


def golden(candidate: Candidate, _current: Current | None, _policy: Policy) -> Iterator[GateResult]:
    """It answers its golden examples as the trained model did."""
    trial = candidate.trial
    if not trial.ok:
        yield GateResult("golden", Status.SKIPPED, "golden examples reproduced", "the trial failed")
    elif trial.golden_source == "bundle" and trial.golden:
        got = f"{len(trial.golden.examples)} reproduced, largest error {trial.worst_error:.1e}"
        yield GateResult("golden", Status.PASSED, "golden examples reproduced", got)
    else:
        got = f"it brings none; answered its {trial.golden_source}, kept as golden from now on"
        yield GateResult("golden", Status.SKIPPED, "golden examples reproduced", got)


def latency(candidate: Candidate, _current: Current | None, policy: Policy) -> Iterator[GateResult]:
    """It answers fast enough; judged here once, and not again on the nodes."""
    if not policy.max_latency_ms:
        return
    expected = f"a golden request answered in ≤ {policy.max_latency_ms:g} ms"
    if not candidate.trial.ok:
        yield GateResult("latency", Status.SKIPPED, expected, "the trial failed")
        return
    took = candidate.trial.latency_ms
    yield _result("latency", took <= policy.max_latency_ms, expected, f"{took:.2f} ms (median)")


def signature(
    candidate: Candidate, current: Current | None, _policy: Policy
) -> Iterator[GateResult]:
    """Requests that Production takes today are taken by it as well, and no class is lost."""
    expected = "takes what Production takes"
    if current is None:
        yield GateResult("signature", Status.SKIPPED, expected, "nothing in Production")
        return
    reasons: list[str] = []
    if bundle := candidate.bundle:
        reasons += params.changes(bundle.params, current.params)
        lost = sorted(set(current.labels) - set(bundle.labels))
        reasons += [f"no longer knows the class {label!r}" for label in lost]
        if bundle.kind == "tabular" and not lost:
            reasons += _renumbered(bundle.labels, current.labels)
    mine, theirs = candidate.signature, current.signature
    if mine is not None and theirs is not None:
        reasons += mine.compatible_with(theirs)
    elif not reasons:
        yield GateResult("signature", Status.SKIPPED, expected, "no signature on one side")
        return
    yield _result("signature", not reasons, expected, "; ".join(reasons) or "compatible")


def _renumbered(mine: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Classes that are told by their numbers, where a number means another one now."""
    before = [*mine[: len(theirs)]]
    said = f"classes were {', '.join(theirs)} and are {', '.join(mine)}: numbers mean others"
    return [said] if before != [*theirs] else []


def source(candidate: Candidate, _current: Current | None, policy: Policy) -> Iterator[GateResult]:
    """It learnt from a source that this model may learn from."""
    if policy.sources:
        expected = f"one of {', '.join(policy.sources)}"
        got = candidate.evaluation.source if candidate.evaluation else "unknown: no evaluation"
        yield _result("source", got in policy.sources, expected, got)


def rows(candidate: Candidate, _current: Current | None, policy: Policy) -> Iterator[GateResult]:
    """It learnt from enough rows."""
    if policy.min_rows:
        got = candidate.evaluation.rows if candidate.evaluation else 0
        yield _result("rows", got >= policy.min_rows, f"≥ {policy.min_rows} rows", f"{got} rows")


def age(candidate: Candidate, _current: Current | None, policy: Policy) -> Iterator[GateResult]:
    """Its newest observation is not older than allowed."""
    if not policy.max_age_days:
        return
    expected = f"data at most {policy.max_age_days:g} days old"
    evaluation = candidate.evaluation
    if evaluation and evaluation.source in _AGELESS_SOURCES:
        yield GateResult("age", Status.SKIPPED, expected, "bundled data")
    elif not evaluation or not evaluation.data_end:
        yield GateResult("age", Status.FAILED, expected, "unknown: no date of the last row")
    else:
        end = datetime.datetime.fromisoformat(evaluation.data_end)
        end = end if end.tzinfo else end.replace(tzinfo=datetime.UTC)
        days = (candidate.now_ms / 1000 - end.timestamp()) / _SECONDS_A_DAY
        yield _result("age", days <= policy.max_age_days, expected, f"{days:.1f} days")


def series(candidate: Candidate, current: Current | None, policy: Policy) -> Iterator[GateResult]:
    """It learnt from the same series or data set as Production."""
    theirs = current.evaluation.series if current and current.evaluation else None
    mine = candidate.evaluation.series if candidate.evaluation else None
    if theirs is None or mine is None:
        return
    same = mine == theirs or policy.allow_series_change
    yield _result("series", same, f"{theirs!r}, as in Production", repr(mine))


def bound(candidate: Candidate, _current: Current | None, policy: Policy) -> Iterator[GateResult]:
    """A metric lies within fixed bounds."""
    for rule in _rules(policy, "bound"):
        expected = f"{rule.metric} {_interval(rule.min, rule.max)}"
        value = candidate.metrics.get(rule.metric)
        fits = value is not None and _within(value, rule.min, rule.max)
        yield _ruled(rule, fits, expected, "not measured" if value is None else f"{value:.4g}")


def not_worse(
    candidate: Candidate, current: Current | None, policy: Policy
) -> Iterator[GateResult]:
    """A metric is not worse than Production's on the same hold-out by more than a ratio."""
    for rule in _rules(policy, "not_worse"):
        expected = f"{rule.metric} ÷ Production's {_interval(rule.min_ratio, rule.max_ratio)}"
        if current is None:
            got = "first promotion: nothing to compare with"
            yield GateResult(_name(rule), Status.SKIPPED, expected, got)
            continue
        theirs, why = _theirs(candidate, current, rule.metric)
        yield _compared(rule, candidate.metrics.get(rule.metric), theirs, expected, why)


def beats_baseline(
    candidate: Candidate, _current: Current | None, policy: Policy
) -> Iterator[GateResult]:
    """A metric is better than a naive forecast's by a ratio."""
    for rule in _rules(policy, "beats_baseline"):
        interval = _interval(rule.min_ratio, rule.max_ratio)
        expected = f"{rule.metric} ÷ {rule.baseline}'s {interval}"
        evaluation = candidate.evaluation
        baseline = evaluation.baselines.get(rule.baseline, {}) if evaluation else {}
        theirs = baseline.get(rule.metric)
        mine = candidate.metrics.get(rule.metric)
        yield _compared(rule, mine, theirs, expected, f"{rule.baseline} was not measured")


GATES: Final[Mapping[str, Gate]] = {
    gate.__name__: gate
    for gate in (
        complete,
        packaged,
        servable,
        golden,
        latency,
        signature,
        source,
        rows,
        age,
        series,
        bound,
        not_worse,
        beats_baseline,
    )
}


def judge(candidate: Candidate, current: Current | None, policy: Policy) -> tuple[GateResult, ...]:
    """Every gate's results, in the order of GATES."""
    return tuple(result for gate in GATES.values() for result in gate(candidate, current, policy))


def _theirs(candidate: Candidate, current: Current, metric: str) -> tuple[float | None, str]:
    """Production's metric on the candidate's hold-out, or why there is none."""
    mine = candidate.evaluation
    if mine and mine.current and mine.current.digest == current.digest:
        return mine.current.metrics.get(metric), f"Production's {metric} was not measured"
    own = current.evaluation
    if mine and own and own.holdout_fingerprint == mine.holdout_fingerprint:
        return own.metrics.get(metric), f"Production's {metric} was not measured"
    return None, (
        f"v{current.version} was never scored on this hold-out: train the candidate again now "
        "that it is in Production"
    )


def _compared(
    rule: MetricRule, mine: float | None, theirs: float | None, expected: str, why: str
) -> GateResult:
    if mine is None or theirs is None:
        return _ruled(rule, False, expected, "not measured" if mine is None else why)
    ratio = mine / theirs if theirs else (1.0 if mine == theirs else float("inf"))
    fits = _within(ratio, rule.min_ratio, rule.max_ratio)
    return _ruled(rule, fits, expected, f"{ratio:.3f} ({mine:.4g} against {theirs:.4g})")


def _rules(policy: Policy, gate: str) -> Iterator[MetricRule]:
    return (rule for rule in policy.rules if rule.gate == gate)


def _name(rule: MetricRule) -> str:
    return f"{rule.gate}:{rule.metric}" + (f":{rule.baseline}" if rule.baseline else "")


def _ruled(rule: MetricRule, fits: bool, expected: str, got: str) -> GateResult:
    failed = Status.NOTED if rule.report_only else Status.FAILED
    return GateResult(_name(rule), Status.PASSED if fits else failed, expected, got)


def _result(gate: str, fits: bool, expected: str, got: str) -> GateResult:
    return GateResult(gate, Status.PASSED if fits else Status.FAILED, expected, got)


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _interval(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"in [{low:g}, {high:g}]"
    return f"≥ {low:g}" if low is not None else f"≤ {high:g}"
