"""A clock that moves only when it is told to."""

from __future__ import annotations

from dataclasses import dataclass

# 2026-01-01 00:00:00 UTC.
NEW_YEAR_MS = 1_767_225_600_000


@dataclass
class FakeClock:
    """Time in Unix milliseconds; sleeping moves it."""

    ms: int = NEW_YEAR_MS

    def now_ms(self) -> int:
        """The time."""
        return self.ms

    def sleep(self, seconds: float) -> None:
        """Return at once, that much later."""
        self.ms += round(seconds * 1000)

    def tick(self) -> int:
        """The next millisecond: no two changes of a registry happen at the same time."""
        self.ms += 1
        return self.ms
