"""The monitor's own metrics page, for Prometheus. Training's only file that knows its client.

No series carries a version: swaps must not add series for ever. What is shown of a model is about
the version that answered last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from registry.errors import SettingsError
from training.monitoring.verdict import State, Verdict

_STATES = {State.FINE: 0, State.RAISED: 1, State.UNKNOWN: -1}
_WORST = (State.RAISED, State.UNKNOWN, State.FINE)
_DRIFTS = ("drift", "prediction_drift")


class Page:
    """Every metric of a monitor, in a registry of their own."""

    def __init__(self) -> None:
        """Nothing is shown of any model yet."""
        self.registry = CollectorRegistry()
        self._told: dict[str, set[tuple[Gauge, tuple[str, ...]]]] = {}
        self.drift = self._gauge(
            "baton_drift_score", "Population stability index, by column.", "model", "column"
        )
        self.verdict = self._gauge(
            "baton_verdict", "What a rule says: 1 raised, 0 fine, -1 unknown.", "model", "rule"
        )
        self.confidence = self._gauge("baton_confidence", "Mean confidence, 0 to 1.", "model")
        self.accuracy = self._gauge(
            "baton_live_accuracy", "Share of classes that came true.", "model"
        )
        self.error = self._gauge(
            "baton_live_error", "Mean absolute error of what came true.", "model", "horizon"
        )
        self.window_end = self._gauge(
            "baton_window_end_timestamp_seconds", "End of the last window that was written."
        )
        self.failures = Counter(
            "baton_monitor_errors_total",
            "Windows that could not be written, and are tried again.",
            registry=self.registry,
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def show(self, model: str, verdicts: Sequence[Verdict], *, confidence: float | None) -> None:
        """Show a model's verdicts; a rule that looks at columns by the worst of them."""
        for rule in dict.fromkeys(verdict.rule for verdict in verdicts):
            states = {verdict.state for verdict in verdicts if verdict.rule == rule}
            worst = next(state for state in _WORST if state in states)
            self.verdict.labels(model, rule).set(_STATES[worst])
        for verdict in verdicts:
            column = "prediction" if verdict.rule == "prediction_drift" else verdict.column
            if verdict.rule in _DRIFTS and column:  # no column: there is no profile
                score = math.nan if verdict.value is None else verdict.value
                self.drift.labels(model, column).set(score)
        if confidence is not None:
            self.confidence.labels(model).set(confidence)

    def show_truth(
        self, model: str, *, accuracy: float | None, errors: Mapping[int, float]
    ) -> None:
        """Show what came true of a model, and nothing of what was shown of it before."""
        shown: dict[tuple[Gauge, tuple[str, ...]], float] = {
            (self.error, (model, str(horizon))): error for horizon, error in errors.items()
        }
        if accuracy is not None:
            shown[self.accuracy, (model,)] = accuracy
        for gauge, labels in self._told.get(model, set()) - shown.keys():
            gauge.remove(*labels)
        for (gauge, labels), value in shown.items():
            gauge.labels(*labels).set(value)
        self._told[model] = {*shown}

    def serve(self, bind: str) -> tuple[Any, Any]:
        """Answer `GET /metrics` at `host:port` from a thread of its own; the server, the thread."""
        host, _, port = bind.rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise SettingsError(f"BATON_MONITOR_BIND: expected host:port, got {bind!r}")
        try:
            return start_http_server(int(port), addr=host, registry=self.registry)
        except OSError as error:
            raise SettingsError(f"BATON_MONITOR_BIND: cannot listen at {bind}: {error}") from error
