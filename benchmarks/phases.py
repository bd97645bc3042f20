"""What an open loop in phases saw of one phase: goodput, latencies, refusals, recovery. Pure.

*Accepted* is what was answered with 2xx; *shed* what was refused with 503. Latency counts from when
a request was due; a refusal's time from when it was sent, which is all that the server sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.open_loop import GIVEN_UP, Phase

_SHED = 503
_WINDOW_SECONDS = 0.25


@dataclass(frozen=True)
class Seen:
    """The requests of one phase, which began at `start`."""

    rows: Any
    start: float
    seconds: float

    @classmethod
    def of(cls, rows: Any, number: int, phases: Sequence[Phase], begun: float) -> Seen:
        """One of several phases that followed each other from `begun` on."""
        before = sum(phase.seconds for phase in phases[:number])
        return cls(rows[rows["phase"] == number], begun + before, phases[number].seconds)

    @property
    def accepted(self) -> Any:
        """Rows with 2xx."""
        return self.rows[self.rows["status"] // 100 == 2]

    @property
    def shed(self) -> Any:
        """Rows with 503."""
        return self.rows[self.rows["status"] == _SHED]

    @property
    def failed(self) -> int:
        """How many had neither of both: an error, a broken connection, given up by the client."""
        return len(self.rows) - len(self.accepted) - len(self.shed)

    @property
    def given_up(self) -> int:
        """How many of those that failed never found a free connection."""
        return int((self.rows["status"] == GIVEN_UP).sum())

    @property
    def unexplained(self) -> int:
        """How many were refused without Retry-After."""
        return int((self.shed["retry"] == 0).sum())

    @property
    def goodput(self) -> float:
        """2xx a second, of those that had come when the phase ended."""
        ended = self.accepted["ended"]
        return float((ended <= self.start + self.seconds).sum()) / self.seconds

    def latency_ms(self, share: float) -> float:
        """The latency that `share` of the accepted ones do not exceed; NaN without any."""
        return quantile(self.accepted["ended"] - self.accepted["due"], share) * 1000

    def shed_ms(self, share: float) -> float:
        """The same of how soon refusals came; 0 without any."""
        took = self.shed["ended"] - self.shed["begun"]
        return quantile(took, share) * 1000 if len(took) else 0.0

    def recovered_seconds(self, most_ms: float) -> float:
        """How long after its start the load was served as before, for good.

        Each quarter of a second from then on has no request but accepted ones, and all but 5 % of
        them within `most_ms`. Infinite if the last one is not like that.
        """
        recovered = 0.0
        for number in range(int(self.seconds / _WINDOW_SECONDS)):
            since = self.start + number * _WINDOW_SECONDS
            due = self.rows["due"]
            part = self.rows[(due >= since) & (due < since + _WINDOW_SECONDS)]
            refused = (part["status"] // 100 != 2).any()
            if refused or quantile(part["ended"] - part["due"], 0.95) * 1000 > most_ms:
                recovered = (number + 1) * _WINDOW_SECONDS
        return recovered if recovered < self.seconds else float("inf")


def quantile(values: Any, share: float) -> float:
    """The value that `share` (0 to 1) of them do not exceed; NaN without any."""
    if not len(values):
        return float("nan")
    return float(np.sort(values)[min(len(values) - 1, int(share * len(values)))])
