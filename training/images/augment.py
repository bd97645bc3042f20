"""Pictures as they might as well have been taken: for training only, never in the served graph."""

from __future__ import annotations

import numpy as np

from training.workload import Array

_SHIFT = 0.06  # of the side, at most
_LIGHT = 0.12


def augment(pictures: Array, rng: np.random.Generator) -> Array:
    """Each of uint8 [n, s, s, 3] mirrored, turned by quarters, moved and lit by chance."""
    out = np.empty_like(pictures)
    most = int(pictures.shape[1] * _SHIFT)
    for row, picture in enumerate(pictures):
        turned = np.rot90(picture, int(rng.integers(4)))
        if rng.integers(2):
            turned = turned[:, ::-1]
        moved = _moved(turned, *rng.integers(-most, most + 1, 2).tolist())
        gains = 1 + rng.uniform(-_LIGHT, _LIGHT, 3)
        out[row] = (moved * gains).clip(0, 255)
    return out


def _moved(picture: Array, down: int, right: int) -> Array:
    """Black moves in where there was nothing."""
    out = np.zeros_like(picture)
    height, width = picture.shape[:2]
    out[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = picture[
        max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return out
