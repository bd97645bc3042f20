"""A clock that moves only when it is told to."""

from __future__ import annotations

from dataclasses import dataclass

# 2026-01-01 00:00:00 UTC.
NEW_YEAR_MS = 1_767_225_600_000


@dataclass
class FakeClock:
    """Time in Unix milliseconds; sleeping moves it."""

    ms: int = NEW_YEAR_MS
    set_by_seconds: float = 0.0

    def now_ms(self) -> int:
        """The time."""
        return self.ms

    def monotonic(self) -> float:
        """Seconds that passed, whatever was done to the time."""
        return self.ms / 1000 - self.set_by_seconds

    def sleep(self, seconds: float) -> None:
        """Return at once, that much later."""
        self.ms += round(seconds * 1000)

    def set_by(self, seconds: float) -> None:
        """Somebody sets the clock, forward or back."""
        self.ms += round(seconds * 1000)
        self.set_by_seconds += seconds

    def tick(self) -> int:
        """The next millisecond: no two changes of a registry happen at the same time."""
        self.ms += 1
        return self.ms
