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
