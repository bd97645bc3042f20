"""Whether a share has grown: a test that may be looked at after every request. Pure.

What went wrong with a new version (`Share`: so many of so many) is held against what went wrong
with the one before. `evidence` is the logarithm of a betting process: the stake, 1 at the start,
grows when the new version's requests look like one of several other shares, and shrinks when they
look like the old one. Whoever's share has not grown sees a stake of 1/α, at whatever moment, with
a probability of at most α (Ville's inequality); so it does not matter when, and how often, it is
looked at, and nothing needs to be remembered between two looks.

The old share is not known but from n requests, k of them bad. The bet is against the predictive
distribution of Beta(k + 1, n − k): exact where k is what lies above an order statistic, as it is
for latency; for counts it is the upper one of the two that Clopper and Pearson's bounds come from,
and that the bound holds is computed for many shares, not proven: docs/adr/0030.

Sources: Ville, Étude critique de la notion de collectif (1939); Robbins, Statistical methods
related to the law of the iterated logarithm (1970); Ramdas, Grünwald, Vovk, Shafer, Game-theoretic
statistics and safe anytime-valid inference (2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

# What is bet on: odds that many times the old ones, and the part of the stake. About twice is the
# least that somebody would want to leave in a hurry. The rest is on any share at all, evenly: where
# everything fails it wins, however late it is looked at.
ALTERNATIVES: Final = ((1.75, 0.25), (2.3, 0.55), (4.0, 0.15))
ANYTHING: Final = 0.05
# A client's retries are one mistake and several requests.
LEAST_BAD: Final = 5
# Of a million requests a thousandth more is certain, and no reason to go back.
LEAST_RATIO: Final = 1.25


@dataclass(frozen=True)
class Share:
    """`bad` of `of` requests, 0 ≤ bad ≤ of; ValueError for anything else."""

    bad: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.bad <= self.of:
            raise ValueError(f"expected 0 ≤ bad ≤ of, got {self.bad} of {self.of}")

    @property
    def value(self) -> float:
        """From 0 to 1; of nothing it is 0."""
        return self.bad / self.of if self.of else 0.0

    def __str__(self) -> str:
        """As people read it: `12 of 340 (3.5 %)`."""
        return f"{self.bad:,} of {self.of:,} ({self.value:.1%})"


def evidence(new: Share, old: Share) -> float:
    """Natural logarithm of the stake against "new is as old"; 0 where nothing is known.

    A part of the stake bets on each of ALTERNATIVES, and one on ANYTHING; their sum is held against
    what Beta(k + 1, n − k) foretells.
    """
    a, b = old.bad + 1, old.of - old.bad
    if not new.of or b <= 0:
        return 0.0
    good = new.of - new.bad
    odds = a / b
    bets = [
        math.log(part) + new.bad * math.log(times * odds) - new.of * math.log1p(times * odds)
        for times, part in ALTERNATIVES
    ]
    bets.append(math.log(ANYTHING) + _log_beta(new.bad + 1, good + 1))
    most = max(bets)
    bet = most + math.log(sum(math.exp(one - most) for one in bets))
    return bet - (_log_beta(a + new.bad, b + good) - _log_beta(a, b))


def has_grown(new: Share, old: Share, *, false_alarms: float) -> bool:
    """Whether the share of bad requests is larger than it was, and worth going back for.

    `false_alarms` is how often it may say so, at any of all looks, of a share that has not grown.
    A share that shrank is evidence too, of another sort: only a larger one counts.
    """
    if new.bad < LEAST_BAD or new.value < LEAST_RATIO * old.value:
        return False
    return evidence(new, old) >= -math.log(false_alarms)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
