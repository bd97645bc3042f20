"""A prediction log that holds what a test says, and is away when a test says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from registry.errors import Unreachable
from registry.prediction_counts import SLOW_SHARE, UNSURE_BELOW, Counts, Reference, Stint


@dataclass(frozen=True)
class Answer:
    """One request, as far as it is counted."""

    status: int = 200
    latency_ms: float = 1.0
    confidence: float | None = None


@dataclass
class FakeCounts:
    """The `PredictionCounts` port over lists, newest last.

    `away` is raised while it is set; a look waits for `go_on`, as at a database that hangs.
    """

    answers: dict[tuple[str, tuple[int, int], str], list[Answer]] = field(default_factory=dict)
    away: Exception | None = None
    looks: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go_on.set()

    def add(
        self, model: str, key: tuple[int, int], answers: Sequence[Answer], *, arm: str = "serve"
    ) -> None:
        """Requests that this entry's version, or the one beside it, answered."""
        self.answers.setdefault((model, key, arm), []).extend(answers)

    def errors(
        self, model: str, key: tuple[int, int], *, bad: int, of: int, arm: str = "serve"
    ) -> None:
        """So many requests, the bad ones a 500."""
        self.add(model, key, [Answer(500)] * bad + [Answer()] * (of - bad), arm=arm)

    def reference(self, stint: Stint, *, newest: int) -> Reference:
        """See `PredictionCounts.reference`."""
        counting = [one for one in self._of(stint) if not 400 <= one.status < 500]
        asked = counting[-newest:]
        latencies = sorted((one.latency_ms for one in asked if one.status < 400), reverse=True)
        slow_ms = latencies[int(SLOW_SHARE * len(latencies))] if latencies else None
        return Reference(counted(asked, slow_ms), slow_ms)

    def counts(self, stint: Stint, *, slow_ms: float | None) -> Counts:
        """See `PredictionCounts.counts`."""
        return counted(self._of(stint), slow_ms)

    def _of(self, stint: Stint) -> Sequence[Answer]:
        self.looks += 1
        self.go_on.wait(30)
        if self.away:
            raise self.away
        return [
            one
            for seq in range(stint.first, stint.last + 1)
            for one in self.answers.get((stint.model, (stint.epoch, seq), stint.arm), [])
        ]


def counted(asked: Sequence[Answer], slow_ms: float | None) -> Counts:
    """What the log is to say of these."""
    answered = [one for one in asked if one.status < 400]
    rated = [one.confidence for one in answered if one.confidence is not None]
    return Counts(
        errors=sum(one.status >= 500 for one in asked),
        answered=len(answered),
        slow=sum(slow_ms is not None and one.latency_ms > slow_ms for one in answered),
        rated=len(rated),
        unsure=sum(confidence < UNSURE_BELOW for confidence in rated),
    )


AWAY = Unreachable("prediction log: it does not answer; check BATON_PREDICTIONS_URL")
