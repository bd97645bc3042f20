"""Where a classifier looks: how much of an answer is lost when a part of the picture is covered.

Occlusion needs nothing of a model but its answers, so it tells the same of a Keras model and of
the graph that serves. Source: Zeiler & Fergus, "Visualizing and Understanding Convolutional
Networks" (2014), section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.workload import Array

Predict = Callable[[Array], Array]
_CELLS = 16


def occlusion(predict: Predict, picture: Array, label: int, *, cells: int = _CELLS) -> Array:
    """Probability of `label` that covering each place costs, float [cells, cells].

    `predict` takes uint8 [n, s, s, 3] and answers [n, k]; the cover is a square of two cells a
    side in the picture's mean colour. Above 0: the place speaks for the label.
    """
    side = picture.shape[0]
    mean = picture.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    edges = np.linspace(0, side, cells + 1).round().astype(int)
    half = max(1, side // cells // 2)
    covered = np.repeat(picture[None], cells * cells, axis=0)
    for n, one in enumerate(covered):
        row, column = divmod(n, cells)
        top, left = max(0, edges[row] - half), max(0, edges[column] - half)
        one[top : edges[row + 1] + half, left : edges[column + 1] + half] = mean
    whole = predict(picture[None])[0, label]
    lost = whole - predict(covered)[:, label]
    return np.asarray(lost, dtype=np.float64).reshape(cells, cells)
