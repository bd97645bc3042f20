"""How a version has done, in counts: what the watch over new versions reads of the log.

`PredictionCounts` is the port; the prediction log implements it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from registry.sequential import Share

UNSURE_BELOW: Final = 0.6  # a confidence less than this is low
SLOW_SHARE: Final = 0.05  # of the version before, that many requests were slower than "slow"


@dataclass(frozen=True, kw_only=True)
class Stint:
    """What is counted: the records of a model's entries from seq `first` to `last`, of one arm.

    `since` is in seconds since 1970: no such record is older, so nobody has to look there.
    """

    model: str
    epoch: int
    first: int
    last: int
    since: float
    arm: str = "serve"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests that were executed in one stint, each attempt by itself.

    `errors` are those with a status of 500 or more, `answered` those below 400: what a client did
    wrong (400 to 499) is neither. Of the answered ones `slow` took longer than was asked about,
    `rated` have a confidence, and `unsure` of those one below UNSURE_BELOW.
    """

    errors: int = 0
    answered: int = 0
    slow: int = 0
    rated: int = 0
    unsure: int = 0

    @property
    def requests(self) -> int:
        """Those that count."""
        return self.errors + self.answered

    @property
    def failed(self) -> Share:
        """Errors, of all requests."""
        return Share(self.errors, self.requests)

    @property
    def late(self) -> Share:
        """Slow ones, of those that were answered."""
        return Share(self.slow, self.answered)

    @property
    def doubtful(self) -> Share:
        """Unsure ones, of those with a confidence."""
        return Share(self.unsure, self.rated)


@dataclass(frozen=True)
class Reference:
    """How the version that is the measure has done; `slow_ms` is None where it answered nothing.

    Of n answered requests, floor(SLOW_SHARE × n) took longer than `slow_ms`, which is the latency
    of the next one; fewer where several took exactly as long. They are its counts' `slow`.
    """

    counts: Counts
    slow_ms: float | None


class PredictionCounts(Protocol):
    """Counts by stint; Unreachable if the log cannot be read."""

    def reference(self, stint: Stint, *, newest: int) -> Reference:
        """Of the `newest` requests of a stint that count (of all, if there are fewer)."""

    def counts(self, stint: Stint, *, slow_ms: float | None) -> Counts:
        """Of all requests of a stint; without `slow_ms` none is slow."""
