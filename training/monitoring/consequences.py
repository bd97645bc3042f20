"""What windows lead to, beside what is said of them: trainings, promotions, files, forgetting.

The monitor calls them after each window; what a policy asks for is decided in `training.following`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry import verdicts
from registry.monitoring import Monitoring
from registry.predictions import PredictionLog
from training.monitoring.verdict import Verdict

Cause = verdicts.Verdict
Follow = Callable[[Sequence[Cause]], None]
Forget = Callable[[Mapping[str, float], float], object]
Export = Callable[[float], object]
_DAY: Final = 86_400.0
_HOUR: Final = 3_600.0
_ABOUT: Final = {
    "drift": verdicts.About.DRIFT,
    "prediction_drift": verdicts.About.DRIFT,
    "confidence": verdicts.About.DRIFT,
    "low_confidence": verdicts.About.DRIFT,
    "one_class": verdicts.About.DRIFT,
    "deviation": verdicts.About.DRIFT,
    "accuracy": verdicts.About.ACCURACY,
    "error_drift": verdicts.About.ACCURACY,
}


def telling(model: str, version: str, found: Iterable[Verdict]) -> list[Cause]:
    """Those of a registered version that a training can follow from: slowness is not among them."""
    if not version.isdigit():
        return []
    return [
        Cause(
            model=model,
            version=int(version),
            rule=one.name,
            state=verdicts.VerdictState(one.state),
            window_end=one.until,
            about=_ABOUT[one.rule],
        )
        for one in found
        if one.rule in _ABOUT
    ]


@dataclass
class Retention:
    """Once a day, forgets what is older than its model's `retention_days`; 0 keeps for ever."""

    log: PredictionLog
    monitoring: Monitoring
    forget: Forget
    done: float = 0.0

    def kept(self, until: float) -> None:
        """Windows are written up to `until` (s since 1970). May raise Unreachable."""
        day = until // _DAY
        if day == self.done:
            return
        asked = {model: self.monitoring.of(model).retention_days for model in self._models(until)}
        days = {model: kept for model, kept in asked.items() if kept}
        if days:
            self.forget(days, until)
        self.done = day

    def _models(self, until: float) -> Iterable[str]:
        return self.log.models(0.0, until)


@dataclass
class Parquet:
    """Once an hour, exports the hours that are over."""

    export: Export
    done: float = 0.0

    def written(self, until: float) -> None:
        """Windows are written up to `until` (s since 1970). May raise Unreachable."""
        hour = until // _HOUR
        if hour != self.done:
            self.export(until)
            self.done = hour
