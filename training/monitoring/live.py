"""What came true of a model's predictions, looked at once an hour: feedback is seldom sooner.

To look is to read the log of days. Where that takes long it is done less often: the monitor spends
a twentieth of its time on it at most.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from training.monitoring.page import Page
from training.monitoring.reference import Reference
from training.monitoring.rules import judge_truth
from training.monitoring.thresholds import Thresholds
from training.monitoring.truth import Pair, Truth, accuracy, by_horizon
from training.monitoring.verdict import Verdict

_EVERY_SECONDS = 3600.0
_DAY = 86_400.0
_REST = 20


@dataclass
class _Looked:
    """The pairs of a model by version, as of a moment, and when to look again (s since 1970)."""

    at: float
    since: float
    again: float
    pairs: dict[str, list[Pair]]


class Live:
    """Verdicts on what came true, from the port `Truth`."""

    def __init__(
        self,
        truth: Truth,
        *,
        every_seconds: float = _EVERY_SECONDS,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Nothing is asked for yet; `timer` counts seconds."""
        self._truth = truth
        self._every = every_seconds
        self._timer = timer
        self._looked: dict[str, _Looked] = {}

    def verdicts(
        self, model: str, version: str, reference: Reference, limits: Thresholds, until: float
    ) -> list[Verdict]:
        """Those of a version, on predictions of the days before `until`. May raise Unreachable."""
        looked = self._looked.get(model)
        if looked is None or until >= looked.again:
            looked = self._look(model, until - limits.truth_days * _DAY, until)
        pairs = looked.pairs.get(version, [])
        return judge_truth(pairs, reference, limits, (looked.since, looked.at))

    def show(self, model: str, version: str, page: Page) -> None:
        """Show what was last looked at."""
        looked = self._looked.get(model)
        pairs = looked.pairs.get(version, []) if looked else []
        page.show_truth(model, accuracy=accuracy(pairs), errors=by_horizon(pairs))

    def _look(self, model: str, since: float, until: float) -> _Looked:
        begun = self._timer()
        pairs: defaultdict[str, list[Pair]] = defaultdict(list)
        for pair in self._truth.pairs(model, since, until):
            pairs[pair.version].append(pair)
        for each in pairs.values():
            each.sort(key=lambda pair: pair.time)
        pause = max(self._every, _REST * (self._timer() - begun))
        self._looked[model] = _Looked(until, since, until + pause, dict(pairs))
        return self._looked[model]
