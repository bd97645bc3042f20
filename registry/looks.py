"""What a picture looks like as a whole, in a few numbers: a camera's drift shows in them. Pure.

The same of the pixels that were learnt from (in the reference profile) and of those that a worker
was asked about (in the prediction log), so that one can be held against the other.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CONTRAST: Final = "contrast"
_COLOURS: Final = {1: ("gray",), 3: ("red", "green", "blue")}
NAMES: Final = (*(name for names in _COLOURS.values() for name in names), CONTRAST)
# Of more pixels than these, every second one or fewer tell as much.
_MOST_PIXELS: Final = 512 * 512
_PRECISION: Final = 2


def looks(picture: NDArray[Any]) -> dict[str, float]:
    """The mean of each colour, and the standard deviation of all values, from 0 to 255.

    `picture` is [height, width, channels] of 1 (gray) or 3 (red, green, blue) channels.
    """
    height, width, channels = picture.shape
    step = math.ceil(math.sqrt(height * width / _MOST_PIXELS))
    seen = picture[::step, ::step]
    # Rows first: whole numbers, which float32 adds without error, and many at a time.
    rows = seen.reshape(seen.shape[0], -1).astype(np.float32)
    sums = rows.sum(axis=0).reshape(-1, channels).sum(axis=0, dtype=np.float64)
    means = sums / (rows.size / channels)
    rows -= np.float32(means.mean())
    squares = np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64)
    found = dict(zip(_COLOURS[channels], means.tolist(), strict=True))
    found[CONTRAST] = math.sqrt(squares / rows.size)
    return {name: round(value, _PRECISION) for name, value in found.items()}
