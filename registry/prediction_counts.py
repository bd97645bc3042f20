"""How an entry's version has done, in counts: what the watch after a promotion reads of the log.

`PredictionCounts` is the port; the prediction log implements it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from registry.sequential import Share

UNSURE_BELOW: Final = 0.6  # a confidence less than this is low
SLOW_SHARE: Final = 0.05  # of the version before, that many requests were slower than "slow"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests that one entry's version executed, each attempt by itself, its arm `serve` only.

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


class PredictionCounts(Protocol):
    """Counts by model and ledger key (epoch, seq); Unreachable if the log cannot be read.

    `since` is in seconds since 1970: no record of the entry is older, so nobody has to look there.
    """

    def slow_ms(
        self, model: str, key: tuple[int, int], *, since: float, newest: int
    ) -> float | None:
        """The latency that SLOW_SHARE of the `newest` answered requests are above, in ms.

        It is the latency of one of them: with `newest` or fewer there are n, and floor(SLOW_SHARE ×
        n) are larger (ties aside). None where nothing was answered.
        """

    def counts(
        self,
        model: str,
        key: tuple[int, int],
        *,
        since: float,
        slow_ms: float | None,
        newest: int | None = None,
    ) -> Counts:
        """Count the `newest` requests of an entry, or all of them.

        Without `slow_ms` none is slow.
        """
