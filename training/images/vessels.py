"""The vessels of a synthetic eye as lines: four arcades from the disc, with their branches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.images.anatomy import Eye
from training.workload import Array

_POINTS = 16


@dataclass(frozen=True)
class Vessel:
    """`points` [n, 2] and the width at the first of them, in radii; half of it at the last."""

    points: Array
    width: float


def grow(rng: np.random.Generator, eye: Eye) -> Iterator[Vessel]:
    """An artery and a vein above and below, towards the macula and away from it."""
    for up in (-1, 1):
        for toward in (eye.temporal, -eye.temporal):
            for width in (0.030, 0.022):
                main = _arcade(rng, eye, toward=toward, up=up)
                yield Vessel(main, width)
                for at in rng.integers(3, _POINTS - 3, size=3):
                    yield Vessel(_branch(rng, main, int(at)), width * 0.55)


def _arcade(rng: np.random.Generator, eye: Eye, *, toward: int, up: int) -> Array:
    """From the disc up (or down) and around the macula, or straight away from it."""
    temporal = toward == eye.temporal
    reach = rng.uniform(1.15, 1.4) if temporal else rng.uniform(0.7, 0.9)
    height = rng.uniform(0.5, 0.68) if temporal else rng.uniform(0.4, 0.75)
    t = np.linspace(0, 1, _POINTS)
    rise = np.sin(np.pi * 0.62 * t**0.75) if temporal else t**0.8
    wave = 0.02 * np.sin(rng.uniform(0, 6) + t * rng.uniform(6, 12)) * t
    x = eye.disc.x + toward * reach * t**1.5
    y = eye.disc.y + up * (height * rise) + wave
    return np.stack([x, y], axis=1)


def _branch(rng: np.random.Generator, main: Array, at: int) -> Array:
    """Off to one side, bending back a little."""
    along = main[at + 1] - main[at]
    turn = rng.choice((-1, 1)) * rng.uniform(0.5, 1.0)
    angle = math.atan2(along[1], along[0]) + turn
    steps = np.linspace(0, rng.uniform(0.2, 0.5), _POINTS // 2)
    bent = angle - 0.7 * turn * steps / steps[-1]
    points: Array = main[at] + np.stack([steps * np.cos(bent), steps * np.sin(bent)], axis=1)
    return points
