"""What class probabilities are worth: pure functions of labels [n] and probabilities [n, k]."""

from __future__ import annotations

import numpy as np

from training.workload import Array

_BINS = 15


def recalls(truth: Array, probabilities: Array) -> Array:
    """Share of each class that is found, [k]; NaN for a class that does not occur."""
    predicted = probabilities.argmax(axis=1)
    shares = [
        (predicted[truth == label] == label).mean() if (truth == label).any() else np.nan
        for label in range(probabilities.shape[1])
    ]
    return np.array(shares)


def auc(truth: Array, probabilities: Array) -> float:
    """Area under the ROC curve of each class against the rest, averaged over the classes.

    The share of (one of the class, one of the rest) in which the first is thought likelier; ties
    count half. Source: Hanley & McNeil (1982). Raises ValueError if only one class occurs.
    """
    areas = []
    for label in np.unique(truth):
        inside, outside = probabilities[truth == label, label], probabilities[truth != label, label]
        if not outside.size:
            raise ValueError(f"expected at least two classes, got label {label} alone")
        below = np.searchsorted(np.sort(outside), inside, side="left")
        upto = np.searchsorted(np.sort(outside), inside, side="right")
        areas.append(((below + upto) / 2).mean() / outside.size)
    return float(np.mean(areas))


def calibration(truth: Array, probabilities: Array) -> tuple[Array, Array, Array]:
    """Mean confidence, accuracy and count of each bin of confidence that holds any, [b] each."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    filled = np.unique(places)
    return (
        np.array([confidence[places == place].mean() for place in filled]),
        np.array([right[places == place].mean() for place in filled]),
        np.array([(places == place).sum() for place in filled]),
    )


def ece(truth: Array, probabilities: Array) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over 15 bins.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017).
    """
    confidence, right, count = calibration(truth, probabilities)
    return float((np.abs(confidence - right) * count).sum() / count.sum())
