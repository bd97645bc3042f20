"""What chance alone does to a stability index, and to the mean of errors. Pure.

Between two samples of one distribution the index is about (1/n + 1/N) · χ² with one degree of
freedom less than there are bins: never 0, and 0.2 or more for a few dozen values. Source: Yurdakul
and Naranjo, Statistical properties of the population stability index, Journal of Risk Model
Validation 14 (2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

_Z = NormalDist().inv_cdf(0.975)


def stability_by_chance(*, bins: int, samples: int, reference: int, chance: float) -> float:
    """The index that two samples of one distribution exceed with the probability `chance`."""
    return (1 / samples + 1 / reference) * _chi_square(bins - 1, 1 - chance)


def _chi_square(freedom: int, share: float) -> float:
    """The quantile `share` of χ²; too high rather than too low. Source: Wilson, Hilferty (1931)."""
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread)) ** 3)


@dataclass(frozen=True)
class Expected:
    """The mean error that promotion measured, at the upper end of what `rows` rows can tell.

    `spread` is the unit in which being worse is counted.
    """

    mean: float
    spread: float

    @classmethod
    def of_share(cls, wrong: float, rows: int) -> Expected:
        """Of answers that are right or wrong. Source: Agresti and Coull (1998)."""
        n = rows + _Z**2
        middle = (wrong * rows + _Z**2 / 2) / n
        upper = middle + _Z * math.sqrt(middle * (1 - middle) / n)
        return cls(upper, math.sqrt(upper * (1 - upper)))

    @classmethod
    def of_size(cls, error: float, rows: int) -> Expected:
        """Of errors that have a size: as wide as they are large, as a rule."""
        upper = error * (1 + _Z / math.sqrt(rows))
        return cls(upper, upper)


def page(errors: Iterable[float], expected: Expected, *, slack: float) -> float:
    """How far errors have by the last of them run above what was expected, in spreads.

    The sum of (error − mean − slack · spread), begun again whenever it falls below 0. Source: Page,
    Continuous inspection schemes, Biometrika 41 (1954), with the mean known instead of Hinkley's
    running one.
    """
    spread = expected.spread or 1.0
    above = 0.0
    for error in errors:
        above = max(0.0, above + (error - expected.mean) / spread - slack)
    return above
