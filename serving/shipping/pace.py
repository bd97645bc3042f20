"""How long a shipper waits before its next pass. Pure: chance is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LOOK_SECONDS: Final = 0.2
_LONGEST_SECONDS: Final = 10.0


@dataclass
class Pace:
    """`jitter` gives numbers from 0 to 1: the nodes of a fleet come back at different moments."""

    jitter: Callable[[], float]
    _failures: int = 0

    def after(self, *, has_more: bool) -> float:
        """Seconds to wait after a pass; none where more is there to be shipped."""
        self._failures = 0
        return 0.0 if has_more else LOOK_SECONDS

    def after_failure(self) -> float:
        """Seconds to wait after a pass that did not reach the sink: ever more of them."""
        self._failures += 1
        longest = min(LOOK_SECONDS * 2.0 ** min(self._failures, 16), _LONGEST_SECONDS)
        return longest * (0.5 + self.jitter() / 2)
