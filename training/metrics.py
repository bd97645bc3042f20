"""Metric functions: pure, of the truth and the predictions, both of shape [n].

Percentages are percent (6.9, not 0.069). Precision, recall and F1 are macro averages: every class
counts the same.
"""

from __future__ import annotations

import numpy as np

from training.workload import Array


def mae(truth: Array, predicted: Array) -> float:
    """Mean absolute error, in the unit of the truth."""
    return float(np.abs(truth - predicted).mean())


def rmse(truth: Array, predicted: Array) -> float:
    """Root of the mean squared error, in the unit of the truth."""
    return float(np.sqrt(np.square(truth - predicted).mean()))


def mape(truth: Array, predicted: Array) -> float:
    """Mean absolute error relative to the truth, in percent; the truth must not be zero."""
    return float(100 * np.abs((truth - predicted) / truth).mean())


def r2(truth: Array, predicted: Array) -> float:
    """Share of the truth's variance that the predictions explain: 1 is all, 0 as much as its mean.

    Without any variance it is 1 for predictions that are all right, else 0.
    """
    missed = float(np.square(truth - predicted).sum())
    spread = float(np.square(truth - truth.mean()).sum())
    if not spread:
        return float(not missed)
    return 1 - missed / spread


def coverage(truth: Array, lower: Array, upper: Array) -> float:
    """Share of the truth inside the band, 0 to 1."""
    return float(((truth >= lower) & (truth <= upper)).mean())


def accuracy(truth: Array, predicted: Array) -> float:
    """Share of right labels, 0 to 1."""
    return float((truth == predicted).mean())


def precision(truth: Array, predicted: Array) -> float:
    """Macro average over the classes of the truth; 0 for one that is never predicted."""
    return float(np.mean([_share(truth[predicted == c] == c) for c in np.unique(truth)]))


def recall(truth: Array, predicted: Array) -> float:
    """Macro average over the classes of the truth."""
    return float(np.mean([_share(predicted[truth == c] == c) for c in np.unique(truth)]))


def f1_score(truth: Array, predicted: Array) -> float:
    """Macro average over the classes of the truth of 2PR / (P + R)."""
    scores = []
    for c in np.unique(truth):
        right = float(((truth == c) & (predicted == c)).sum())
        scores.append(2 * right / float((truth == c).sum() + (predicted == c).sum()))
    return float(np.mean(scores))


def _share(right: Array) -> float:
    """Share of True, 0 for none at all."""
    return float(right.mean()) if right.size else 0.0
