"""What a monitor does beside its windows: forgets what is old, and exports hours that are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from registry.monitoring import Monitoring
from registry.predictions import PredictionLog

Forget = Callable[[Mapping[str, float], float], object]
Export = Callable[[float], object]
_DAY: Final = 86_400.0
_HOUR: Final = 3_600.0


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
