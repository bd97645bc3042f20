"""Watch windows that never were: requests that go wrong with a share that is known, drawn anew.

A window is watched as closely as can be, after each request. The stake of `registry.sequential`
grows only when a request goes wrong, so looking at those is looking at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.policy import Symptom
from registry.sequential import LEAST_BAD, LEAST_RATIO, Share, has_grown
from registry.watch import bounds_of

# Whether a version is worse: new and old share, and how often that may be said falsely.
Test = Callable[[Share, Share, float], bool]
_LEAST_CHANCE: Final = 1e-9


def ours(new: Share, old: Share, false_alarms: float) -> bool:
    """The test that is in use."""
    return has_grown(new, old, false_alarms=false_alarms)


def peeking(new: Share, old: Share, false_alarms: float) -> bool:
    """What must not be done: a test for one look, taken again at every look.

    Of two shares by the normal approximation; a p-value below `false_alarms` is believed.
    """
    if new.bad < LEAST_BAD or new.value < LEAST_RATIO * old.value:
        return False
    pooled = (new.bad + old.bad) / (new.of + old.of)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / new.of + 1 / old.of))
    z = (new.value - old.value) / spread if spread else 0.0
    return 0.5 * math.erfc(z / math.sqrt(2)) < false_alarms


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`known` requests of the version before, then up to `watched` of the new one.

    `before` and `after` are the shares that go wrong, and `false_alarms` how often that may be
    found falsely, one each for every symptom that is watched.
    """

    known: int
    watched: int
    before: Sequence[float]
    after: Sequence[float]
    false_alarms: Sequence[float] = tuple(bounds_of(tuple(Symptom)).values())


def found_after(setting: Setting, rng: np.random.Generator, *, test: Test) -> int | None:
    """After how many requests one window is ended by any of its symptoms; None: not at all."""
    found = []
    symptoms = zip(setting.before, setting.after, setting.false_alarms, strict=True)
    for before, after, each in symptoms:
        old = Share(int(rng.binomial(setting.known, before)), setting.known)
        for new in _looks(rng, after, setting.watched):
            if test(new, old, each):
                found.append(new.of)
                break
    return min(found, default=None)


def _looks(rng: np.random.Generator, share: float, most: int) -> Iterator[Share]:
    """What is seen whenever a request goes wrong."""
    at = np.flatnonzero(rng.random(most) < share) + 1
    for bad, of in enumerate(at.tolist(), start=1):
        yield Share(bad, of)


def windows(setting: Setting, *, number: int, seed: int, test: Test = ours) -> list[int | None]:
    """`found_after` of so many windows; the seed decides."""
    rng = np.random.default_rng(seed)
    return [found_after(setting, rng, test=test) for _ in range(number)]


def chance_of_an_alarm(known: int, watched: int, share: float, *, false_alarms: float) -> float:
    """How likely a version that is no worse is found to be: computed, not drawn.

    Over all k of `known` requests that may have gone wrong before, with the binomial's chance; and
    for each, how many of the new ones may go wrong before it is said, request by request.
    """
    total = 0.0
    for bad in range(known + 1):
        chance = math.exp(_log_binomial(known, bad, share))
        if chance > _LEAST_CHANCE:
            bounds = _bounds(Share(bad, known), watched, false_alarms)
            total += chance * _crossed(bounds, share)
    return total


def _bounds(old: Share, watched: int, false_alarms: float) -> list[int]:
    """For each number of requests, the least that must have gone wrong for it to be said.

    One more that went well is never more evidence, so it never falls.
    """
    bounds, bad = [], 0
    for of in range(1, watched + 1):
        while bad <= of and not has_grown(Share(bad, of), old, false_alarms=false_alarms):
            bad += 1
        bounds.append(bad)  # of + 1 where nothing would be enough
    return bounds


def _crossed(bounds: Sequence[int], share: float) -> float:
    """The chance that a count, one more with probability `share` at each step, meets its bound."""
    alive: NDArray[np.float64] = np.zeros(max(bounds) + 2)
    alive[0] = 1.0
    crossed = 0.0
    for bound in bounds:
        alive[1:] = alive[1:] * (1 - share) + alive[:-1] * share
        alive[0] *= 1 - share
        crossed += float(alive[bound:].sum())
        alive[bound:] = 0.0
    return crossed


def _log_binomial(of: int, bad: int, share: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(bad + 1) - math.lgamma(of - bad + 1)
    return ways + bad * math.log(share) + (of - bad) * math.log1p(-share)
