"""Parts of a recorded history around swaps, and their latencies.

A swap's instant is when the first answer with its seq had come. *Near* it are the requests due
within 1 s of that. *Quiet* are those due in the 2 s right before its entry was appended: an equal
window in which nothing was fetched, tried or loaded, if swaps are `APART_SECONDS` apart. *While it
loads* are those due from the entry until 1 s after the instant. Latency counts from when a request
was due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.history import Rows

NEAR_SECONDS = 1.0
_SETTLE_SECONDS = 1.0
APART_SECONDS = NEAR_SECONDS + _SETTLE_SECONDS + 2 * NEAR_SECONDS


@dataclass(frozen=True)
class Moments:
    """When one swap's entry was appended, its first answer had come, and one of every worker."""

    appended: float
    seen: float
    every: float


@dataclass(frozen=True)
class Windows:
    """The three kinds of requests of one run, over all its swaps."""

    near: Rows
    quiet: Rows
    loading: Rows
    quiet_halves: tuple[Rows, Rows]

    @classmethod
    def of(cls, rows: Rows, swaps: Sequence[Moments]) -> Windows:
        """Sort the requests of a run; a request may be in none."""
        due = rows["due"]
        near, quiet, loading = (np.zeros(len(rows), dtype=bool) for _ in range(3))
        odd = quiet.copy()
        for number, swap in enumerate(swaps):
            near |= abs(due - swap.seen) <= NEAR_SECONDS
            loading |= (swap.appended <= due) & (due <= swap.seen + NEAR_SECONDS)
            before = (swap.appended - 2 * NEAR_SECONDS <= due) & (due < swap.appended)
            quiet |= before
            odd |= before & (number % 2 == 1)
        halves = rows[quiet & odd], rows[quiet & ~odd]
        return cls(rows[near], rows[quiet], rows[loading], halves)

    def near_ratio(self, share: float) -> float:
        """The quantile near swaps ÷ the same in quiet windows."""
        return latency_ms(self.near, share) / latency_ms(self.quiet, share)

    def loading_ratio(self, share: float) -> float:
        """The quantile while versions load ÷ the same in quiet windows."""
        return latency_ms(self.loading, share) / latency_ms(self.quiet, share)

    def noise_ratio(self, share: float) -> float:
        """The same where nothing happened: every other quiet window ÷ the rest of them."""
        odd, even = self.quiet_halves
        return latency_ms(odd, share) / latency_ms(even, share)


def latency_ms(rows: Rows, share: float) -> float:
    """The latency that `share` (0 to 1) of the requests do not exceed; NaN without requests."""
    return _quantile(rows["ended"] - rows["due"], share)


def late_ms(rows: Rows, share: float) -> float:
    """The same of how late the client itself was."""
    return _quantile(rows["late"], share)


def _quantile(seconds: Rows, share: float) -> float:
    if not len(seconds):
        return float("nan")
    return float(np.sort(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]) * 1000
