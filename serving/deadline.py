"""Until when a client wants its request begun: known to whatever the request waits for.

Whoever does a request says it around its work; on the same thread, what waits asks for it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from registry.errors import Overloaded
from serving import metrics

_of_this_thread = threading.local()


@contextmanager
def begun_by(moment: float) -> Iterator[None]:
    """Have the block's request be in time until `moment`, by `monotonic`; infinity: whenever."""
    _of_this_thread.moment = moment
    try:
        yield
    finally:
        _of_this_thread.moment = math.inf


def seconds_left() -> float | None:
    """For how long it may still wait; None for ever."""
    moment = getattr(_of_this_thread, "moment", math.inf)
    return None if moment == math.inf else max(0.0, moment - time.monotonic())


def too_late() -> Overloaded:
    """What is said to a request whose time ran out before its turn came."""
    metrics.SHED.inc()
    return Overloaded("waited longer than the request allows; try again shortly")
