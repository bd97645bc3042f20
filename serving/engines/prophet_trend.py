"""Prophet's trend: the curve through the history and on, and its simulated futures.

Times are scaled: 0 is the first training date, 1 the last. Values are scaled too; the engine
multiplies by `y_scale` and adds the floor. Formulas: Taylor & Letham, "Forecasting at Scale"
(2018), section 3.1: saturating growth, piecewise linear growth, and changepoints that go on after
the history as often and as large as they were in it (3.1.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from registry.errors import BundleInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from serving.engines.prophet_file import Draws

    Floats = NDArray[np.float64]

SMALLEST_CHANGE = 1e-8  # Prophet's: a trend that never changed still may


@dataclass(frozen=True, eq=False)
class Curve:
    """The fitted trend, one column a draw: rate and offset between changepoints.

    Shapes: `changepoints` [s] ascending; `rates` and `offsets` [s + 1, d].
    """

    growth: str
    changepoints: Floats
    rates: Floats
    offsets: Floats

    @classmethod
    def fitted(cls, growth: str, changepoints: Floats, draws: Draws) -> Curve:
        """Sum the changes up; BundleInvalid where they leave the curve undefined."""
        rates = _running(draws.k, draws.delta)
        if growth == "logistic":
            changes = _shifts_of_offset(changepoints, rates, draws.m)
        else:
            changes = -draws.delta * changepoints
        offsets = _running(draws.m, changes)
        if not (np.isfinite(rates).all() and np.isfinite(offsets).all()):
            msg = "params: a rate of 0 leaves the logistic trend undefined"
            raise BundleInvalid(msg)
        return cls(growth, changepoints, rates, offsets)

    def at(self, t: Floats, cap: Floats | None) -> Floats:
        """The trend at times `t` ([n]) as [n, d]; `cap` ([n], scaled) for logistic growth."""
        if self.growth == "flat":
            return np.broadcast_to(self.offsets[0], (t.size, self.offsets.shape[1]))
        piece = np.searchsorted(self.changepoints, t, side="right")
        rate, offset = self.rates[piece], self.offsets[piece]
        if cap is None:
            return rate * t[:, None] + offset
        return _saturating(cap[:, None], rate * (t[:, None] - offset))


@dataclass(frozen=True, eq=False)
class Future:
    """Simulates how far trends may leave the curve after the history ends.

    Each draw of `draws` is continued `paths` times. A step changes the rate with a likelihood of
    changepoints x step, by a Laplace deviate of the mean size of the fitted changes.
    """

    growth: str
    changepoints: Floats
    draws: Draws
    paths: int

    def deviations(
        self,
        t: Floats,
        cap: Floats | None,
        step: float,
        *,
        places: np.random.Generator,
        sizes: np.random.Generator,
    ) -> Floats | None:
        """Scaled deviations at ascending times `t` (all > 1, [n]), `step` apart, as [n, d, paths].

        None where there are none: no dates, flat growth. The two generators are read row by row,
        so fewer dates give the same first rows.
        """
        if not t.size or self.growth == "flat" or step <= 0:
            return None
        changes = self._changes(t.size, step, places, sizes)
        if cap is None:
            for _ in range(2):  # the rate, then the trend; four times as fast as cumsum
                for before, row in pairwise(changes):
                    np.add(row, before, out=row)
            changes *= step
            return changes
        return self._saturating_deviations(changes, t, cap, step)

    def _changes(
        self, n: int, step: float, places: np.random.Generator, sizes: np.random.Generator
    ) -> Floats:
        """Changes of the rate, [n, d, paths], each spread over its step and the next."""
        d = self.draws.k.size
        scale = np.abs(self.draws.delta).mean(axis=1) + SMALLEST_CHANGE
        hits = np.flatnonzero(places.random((n, d * self.paths)) < self.changepoints.size * step)
        jumps = np.zeros((n, d, self.paths))
        draw_of_hit = hits // self.paths % d
        jumps.reshape(-1)[hits] = sizes.laplace(size=hits.size) * scale[draw_of_hit] / 2
        jumps[1:] += jumps[:-1].copy()
        return jumps

    def _saturating_deviations(
        self, changes: Floats, t: Floats, cap: Floats, step: float
    ) -> Floats:
        """Logistic paths less their mean; each change of rate moves the offset, as in the fit."""
        rate, offset = self._end_of_history(step)
        paths = np.empty_like(changes)
        for i, change in enumerate(changes):
            before = rate
            rate = before + change
            offset = offset + (t[i] - offset) * (1 - _ratio(before, rate))
            paths[i] = _saturating(cap[i], rate * (t[i] - offset))
        paths -= paths.mean(axis=2, keepdims=True)
        return paths

    def _end_of_history(self, step: float) -> tuple[Floats, Floats]:
        """Rate and offset, [d, 1], at the end of a history walked in steps of the request.

        Prophet moves every changepoint to the next of these steps, and of several that meet on
        one the last counts; its bands show it, so ours do the same.
        """
        cells = np.floor(self.changepoints / step)
        cells += cells * step <= self.changepoints
        last_of_cell = np.append(np.diff(cells) > 0, True)
        delta = self.draws.delta[:, last_of_cell]
        rates = _running(self.draws.k, delta)
        shifts = _shifts_of_offset(cells[last_of_cell] * step, rates, self.draws.m)
        offset = self.draws.m + shifts.sum(axis=1)
        return rates[-1][:, None], offset[:, None]


def _running(first: Floats, changes: Floats) -> Floats:
    """`first` ([d]) and its sums with `changes` ([d, s]), as [s + 1, d]."""
    return np.cumsum(np.concatenate([first[:, None], changes], axis=1), axis=1).T.copy()


def _shifts_of_offset(times: Floats, rates: Floats, m: Floats) -> Floats:
    """By how much each change moves a logistic offset, [d, s], so that the curve stays whole."""
    offset = m.copy()
    shifts = np.empty((m.size, times.size))
    for i, time in enumerate(times):
        shifts[:, i] = (time - offset) * (1 - _ratio(rates[i], rates[i + 1]))
        offset += shifts[:, i]
    return shifts


def _ratio(before: Floats, after: Floats) -> Floats:
    """Divide the rate before by the one after; where that is 0, infinity or NaN, unwarned."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return before / after


def _saturating(cap: Floats | float, exponent: Floats) -> Floats:
    """Logistic curve, cap / (1 + e^-exponent); far below the midpoint that is 0."""
    with np.errstate(over="ignore"):
        curve: Floats = cap / (1 + np.exp(-exponent))
    return curve
