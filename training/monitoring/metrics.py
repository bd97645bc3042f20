"""A window as MLflow's users expect it: names and numbers, nothing of MLflow itself. Pure."""

from __future__ import annotations

import itertools
import re
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from training.monitoring.rules import unsure
from training.monitoring.tally import Tally
from training.monitoring.thresholds import Thresholds
from training.monitoring.verdict import State, Verdict

_QUANTILES = (50, 95, 99)
_DRIFTS = ("drift", "prediction_drift")
_RECENT = 100
# MLflow takes letters, digits and these.
_OTHER = re.compile(r"[^\w./ -]")


@dataclass(frozen=True)
class Health:
    """What the nodes said of a model when they were asked: how many, and how many serve it."""

    nodes: int
    serving: int
    response_ms: float


@dataclass
class Session:
    """Totals of one version since this monitor began, and its last predictions."""

    windows: int = 0
    requests: int = 0
    predictions: int = 0
    errors: int = 0
    alerts: int = 0
    checks: int = 0
    confidence: float = 0.0
    confident: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, window: Tally, verdicts: Sequence[Verdict]) -> None:
        """Count one more window."""
        self.windows += 1
        self.requests += window.requests
        self.predictions += window.rows
        self.errors += window.failed
        self.alerts += sum(verdict.state is State.RAISED for verdict in verdicts)
        self.confidence += sum(window.confidences)
        self.confident += len(window.confidences)
        self.recent.extend(window.confidences[-_RECENT:])

    def metrics(self, low: float) -> Iterator[tuple[str, float]]:
        """`session_…` and `recent_…`."""
        yield "session_windows", self.windows
        yield "session_requests", self.requests
        yield "session_predictions", self.predictions
        yield "session_errors", self.errors
        yield "session_alerts", self.alerts
        yield "session_error_rate", self.errors / self.requests if self.requests else 0.0
        if self.confident:
            yield "session_avg_confidence", self.confidence / self.confident
        if self.recent:
            yield "recent_avg_confidence", sum(self.recent) / len(self.recent)
            yield "recent_low_confidence_ratio", unsure([*self.recent], low) or 0.0


def of_window(
    window: Tally, verdicts: Sequence[Verdict], session: Session, limits: Thresholds
) -> dict[str, float]:
    """All metrics of a window by their names; those there is nothing for are left out."""
    found = {
        **dict(_counts(window)),
        **dict(_answers(window, limits)),
        **dict(_verdicts(verdicts)),
        **dict(session.metrics(limits.low_confidence)),
    }
    return {_OTHER.sub("_", name): float(value) for name, value in found.items()}


def of_health(health: Health | None, session: Session) -> dict[str, float]:
    """Metrics of the look at the nodes, if there was one."""
    if health is None:
        return {}
    session.checks += 1
    return {
        "health_check_count": session.checks,
        "health_check_response_time_ms": health.response_ms,
        "health_nodes": health.nodes,
        "health_nodes_serving": health.serving,
        "model_status": float(0 < health.serving == health.nodes),
    }


def histogram(confidences: Iterable[float]) -> Mapping[str, int]:
    """How many predictions were how sure, in steps of ten percent."""
    counts, edges = np.histogram(np.asarray([*confidences]) * 100, bins=10, range=(0, 100))
    names = (f"{low:.0f}-{high:.0f}" for low, high in itertools.pairwise(edges))
    return dict(zip(names, counts.tolist(), strict=True))


def _counts(window: Tally) -> Iterator[tuple[str, float]]:
    yield "prediction_count", window.rows
    yield "request_count", window.requests
    yield "error_rate", window.failed / window.requests if window.requests else 0.0
    yield "refused_ratio", window.refused / window.requests if window.requests else 0.0
    if window.latencies:
        for quantile, value in zip(_QUANTILES, _percentiles(window.latencies), strict=True):
            yield f"latency_p{quantile}_ms", value
        yield "prediction_inference_time_ms", float(np.mean(window.latencies))


def _percentiles(values: array[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, _QUANTILES)]


def _answers(window: Tally, limits: Thresholds) -> Iterator[tuple[str, float]]:
    if window.confidences:
        mean = float(np.mean(window.confidences))
        yield "mean_confidence", mean
        yield "prediction_confidence", 100 * mean
        yield "low_confidence_ratio", unsure(window.confidences, limits.low_confidence) or 0.0
    total = sum(window.classes.values())
    for name, count in window.classes.items():
        yield f"class_dist_{name}", count / total
    for name, share in window.probabilities.items():
        yield f"prob_{name}", share / len(window.confidences)
    for day, values in window.days.items():
        yield f"prediction_day_{day}", float(np.mean(values))


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, float]]:
    """Scores of drift are there on few values too; that they mean something the verdict says."""
    for verdict in verdicts:
        if verdict.value is None:
            continue
        if verdict.rule in _DRIFTS:
            yield f"drift_psi_{verdict.column or 'prediction'}", verdict.value
        elif verdict.rule == "accuracy":
            yield "live_accuracy", verdict.value
    raised = [verdict for verdict in verdicts if verdict.state is State.RAISED]
    yield "drift_detected", float(any(verdict.rule in _DRIFTS for verdict in raised))
    yield "alert", len(raised)
