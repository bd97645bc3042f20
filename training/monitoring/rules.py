"""The rules: pure functions of what was seen, each with a verdict that says on how much. Pure.

A rule that has too few predictions is *unknown*, never *fine*; one that does not concern a version
(a forecast has no classes) gives no verdict at all. docs/monitoring.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from registry.profile import LabelProfile, NumberProfile, population_stability
from training.monitoring.chance import page, stability_by_chance
from training.monitoring.reference import Reference
from training.monitoring.tally import Tally, by_label, shares
from training.monitoring.thresholds import Thresholds
from training.monitoring.truth import Pair, accuracy, error_of, is_label
from training.monitoring.verdict import Sample, Verdict

# One request in twenty may take longer than the bound.
_SLOW = 95


def judge(seen: Tally, limits: Thresholds) -> list[Verdict]:
    """Every rule that looks at predictions alone, but those the model has `off`."""
    rules = (
        drift,
        prediction_drift,
        confidence,
        low_confidence,
        inference_time,
        one_class,
        deviation,
    )
    found = (verdict for rule in rules for verdict in rule(seen, limits))
    return [verdict for verdict in found if verdict.rule not in limits.off]


def judge_truth(
    pairs: Sequence[Pair], reference: Reference, limits: Thresholds, span: tuple[float, float]
) -> list[Verdict]:
    """The rules that need what came true, for the pairs of one version by their time.

    `span` is where they were looked for: since, until (s since 1970).
    """
    found = (
        verdict
        for rule in (accurate, error_drift)
        for verdict in rule(pairs, reference, limits, span)
    )
    return [verdict for verdict in found if verdict.rule not in limits.off]


def drift(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """One verdict a feature: are its values distributed as those that were learnt from?"""
    profile = seen.reference.profile
    if profile is None:
        nothing = _sample("drift", seen, samples=0, needed=limits.drift_samples)
        yield nothing.verdict(None, limits.drift_psi, why=seen.reference.missing)
        return
    for column in seen.reference.features:
        known, observed, samples = seen.column(column)
        looked = _sample("drift", seen, samples=samples, needed=limits.drift_samples, column=column)
        yield _stability(looked, known, observed, limits, reference=profile.rows)


def prediction_drift(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """Are answers distributed as those to the hold-out were?"""
    profile = seen.reference.profile
    if profile is None or profile.predicted is None:
        return
    if isinstance(profile.predicted, LabelProfile):
        reference = seen.reference.classes(profile.predicted)
        known, observed, samples = by_label(reference, seen.classes)
    else:
        known, observed, samples = _by_number(profile.predicted, seen)
    looked = _sample("prediction_drift", seen, samples=samples, needed=limits.drift_samples)
    yield _stability(looked, known, observed, limits, reference=profile.predicted_rows)


def confidence(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """The mean confidence is not below the bound."""
    if _is_about_classes(seen):
        mean = float(np.mean(seen.confidences)) if seen.confidences else None
        looked = _sample("confidence", seen, samples=len(seen.confidences), needed=limits.samples)
        yield looked.verdict(mean, limits.mean_confidence, is_raised_below=True)


def low_confidence(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """No more than the bound's share of predictions is unsure."""
    if _is_about_classes(seen):
        looked = _sample(
            "low_confidence", seen, samples=len(seen.confidences), needed=limits.samples
        )
        share = unsure(seen.confidences, limits.low_confidence)
        yield looked.verdict(share, limits.low_confidence_share)


def unsure(confidences: Sequence[float], low: float) -> float | None:
    """The share of confidences below `low`; None where there are none."""
    return float(np.mean(np.asarray(confidences) < low)) if len(confidences) else None


def inference_time(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """All but one in twenty requests are answered within the bound."""
    slow = float(np.percentile(seen.latencies, _SLOW)) / 1000 if seen.latencies else None
    looked = _sample("inference_time", seen, samples=len(seen.latencies), needed=limits.samples)
    yield looked.verdict(slow, limits.inference_seconds)


def one_class(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """No class has more than the bound's share of the predictions."""
    if _is_about_classes(seen):
        total = sum(seen.classes.values())
        most = max(seen.classes.values()) / total if total else None
        looked = _sample("one_class", seen, samples=total, needed=limits.samples)
        yield looked.verdict(most, limits.class_share)


def deviation(seen: Tally, limits: Thresholds) -> Iterator[Verdict]:
    """Predictions do not leave their baseline by more than the bound's share of it, on average."""
    if seen.deviations or seen.baseline is not None:
        mean = float(np.mean(seen.deviations)) if seen.deviations else None
        looked = _sample("deviation", seen, samples=len(seen.deviations), needed=limits.samples)
        yield looked.verdict(mean, limits.deviation)


def accurate(
    pairs: Sequence[Pair], reference: Reference, limits: Thresholds, span: tuple[float, float]
) -> Iterator[Verdict]:
    """No less than the bound's share of classes is right; nothing for numbers."""
    labels = [pair for pair in pairs if is_label(pair)]
    if labels or reference.labels:
        looked = _of_pairs("accuracy", labels, limits, span)
        yield looked.verdict(accuracy(labels), limits.accuracy, is_raised_below=True)


def error_drift(
    pairs: Sequence[Pair], reference: Reference, limits: Thresholds, span: tuple[float, float]
) -> Iterator[Verdict]:
    """Errors do not add up above what promotion measured: see `chance.page`."""
    is_right_or_wrong = any(map(is_label, pairs))
    expected = reference.expected(is_label=is_right_or_wrong)
    value, why = None, ""
    if pairs and expected is None:
        why = f"promotion measured no {'accuracy' if is_right_or_wrong else 'mae'}"
    elif pairs and expected is not None:
        value = page(map(error_of, pairs), expected, slack=limits.error_slack)
    yield _of_pairs("error_drift", pairs, limits, span).verdict(value, limits.error_alarm, why=why)


def _is_about_classes(seen: Tally) -> bool:
    """Whether a version answers classes: before anything came, its labels tell."""
    return bool(seen.reference.labels or seen.classes or seen.confidences)


def _by_number(predicted: NumberProfile, seen: Tally) -> tuple[list[float], list[float], int]:
    counts = predicted.counts(np.asarray(seen.predicted, dtype=np.float64))
    return [*predicted.shares], shares(counts.tolist()), int(counts.sum())


def _stability(
    looked: Sample,
    known: Sequence[float],
    observed: Sequence[float],
    limits: Thresholds,
    *,
    reference: int,
) -> Verdict:
    """An index is raised above the threshold and above chance: with few values chance is more."""
    if len(known) < 2:
        return looked.verdict(None, limits.drift_psi, why="its profile has one bin only")
    if not looked.samples or not reference:
        return looked.verdict(None, limits.drift_psi)
    chance = stability_by_chance(
        bins=len(known),
        samples=looked.samples,
        reference=reference,
        chance=limits.drift_chance,
    )
    index = population_stability(known, observed)
    return looked.verdict(index, max(limits.drift_psi, chance))


def _sample(rule: str, seen: Tally, *, samples: int, needed: int, column: str = "") -> Sample:
    return Sample(
        rule=rule,
        samples=samples,
        needed=needed,
        since=seen.since,
        until=seen.until,
        column=column,
    )


def _of_pairs(
    rule: str, pairs: Sequence[Pair], limits: Thresholds, span: tuple[float, float]
) -> Sample:
    since, until = span
    return Sample(
        rule=rule,
        samples=len(pairs),
        needed=limits.truth_samples,
        since=since,
        until=until,
    )
