"""Which running jobs have been silent for too long: their worker died, or was stopped.

Time counts only while it is looked at: a look counts for a second at most, however long ago the
one before was. So neither a database that was away, nor a worker that was itself stopped for a
while, makes others' jobs look silent. No two clocks are compared (docs/adr/0006).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from registry.jobs import Pulse

SECONDS: Final = 10.0
_MOST_BETWEEN_SECONDS: Final = 1.0


class Silence:
    """One worker's view of all running jobs."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """A job that was not heard of for so long is silent."""
        self._seconds = seconds
        self._heard: dict[str, tuple[Pulse, float]] = {}
        self._looked_at: float | None = None

    def look(self, running: Mapping[str, Pulse], now: float) -> Mapping[str, Pulse]:
        """Those of `running` that are silent by now; `now` by a clock that never goes back."""
        passed = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        before, self._heard = self._heard, {}
        for job, pulse in running.items():
            last, quiet = before.get(job, (None, 0.0))
            counted = quiet + min(passed, _MOST_BETWEEN_SECONDS) if last == pulse else 0.0
            self._heard[job] = (pulse, counted)
        return {job: pulse for job, (pulse, quiet) in self._heard.items() if quiet >= self._seconds}
