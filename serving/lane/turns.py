"""What the loop's thread answers by itself: a little at a time, looking after everybody in between.

So a request that comes while others are being answered is heard within milliseconds: it waits its
turn, or is told at once that there are too many.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from registry.errors import Overloaded
from serving import metrics
from serving.answer import Answer
from serving.deadline import too_late
from serving.lane.crew import Then, Work

# Of requests, as long as they usually take: more than that may not wait.
_MOST_SECONDS: Final = 0.05
# For so long, at least one answer, nobody else is looked after.
_TURN_SECONDS: Final = 0.002


class Turns:
    """A bounded queue that the loop works off. Used from its thread only."""

    def __init__(self) -> None:
        """For the loop that is set for this thread."""
        self._loop = asyncio.get_event_loop()
        self._waiting: deque[tuple[Work, float, float, Then]] = deque()
        self._ahead = 0.0

    def give(self, work: Work, *, seconds: float, until: float, then: Then) -> None:
        """Do it after what waits already, unless its turn comes later than `until`.

        `seconds` is what it usually takes: a pause of the machine turns nobody away. `then` is
        called with the answer or what was raised, and the seconds it took. Raises Overloaded.
        """
        if self._ahead > _MOST_SECONDS:
            metrics.SHED.inc()
            raise Overloaded("too many requests at once; try again shortly")
        if not self._waiting:
            self._loop.call_soon(self._turn)  # behind all that is ready now
        self._waiting.append((work, seconds, until, then))
        self._ahead += seconds

    def _turn(self) -> None:
        begun = now = time.monotonic()
        while self._waiting and now < begun + _TURN_SECONDS:
            work, seconds, until, then = self._waiting[0]
            result: Answer | Exception
            try:
                result = work() if now <= until else too_late()
            except Exception as error:  # noqa: BLE001 - somebody waits for an answer
                result = error
            self._waiting.popleft()
            self._ahead = self._ahead - seconds if self._waiting else 0.0
            before, now = now, time.monotonic()
            then(result, now - before)
        if self._waiting:
            self._loop.call_soon(self._turn)
