"""Cross-validation inside the training part: how much a metric depends on which rows were learnt.

Every fold is predicted by a model that was fitted on the others; the hold-out is never touched. A
fold holds each class in its share where there are classes. Which row is in which fold depends on
the data alone, not on the run's seed: two versions are compared over the same folds. Called by a
workload's `measure`. Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2nd
ed., section 7.10.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from registry.errors import StepFailed, UsageError
from training.parameter import Parameter, Values
from training.workload import Array, Workload, score

FOLDS = Parameter(
    name="cv_folds",
    default=5,
    minimum=0,
    help="Folds of the cross-validation inside the training part; 0: none.",
)
_SEED = 42


def folds(params: Values) -> int:
    """How many folds `params` ask for; raises UsageError for a single one."""
    asked = int(params[FOLDS.name])
    if asked == 1:
        raise UsageError(f"{FOLDS.name}: expected 0 (none) or at least 2, got 1")
    return asked


def cross_validate(
    workload: Workload,
    train: pd.DataFrame,
    params: Values,
    *,
    seed: int,
    classes: pd.Series[int] | None = None,
) -> dict[str, float]:
    """`cv_<metric>_mean` and `cv_<metric>_std` over `params["cv_folds"]` folds; empty for none.

    `classes` holds the class of each row of `train`, or is None for a regression. The standard
    deviation is that of the folds themselves (divided by their number). Raises StepFailed for more
    folds than there are rows to fill them.
    """
    scores: list[dict[str, float]] = []
    for learnt, judged in _folds(train, folds(params), classes):
        before, after = train.iloc[learnt], train.iloc[judged]
        model = workload.fit(before, params, seed=seed)
        scores.append(score(workload, after, workload.answer(model, workload.requests(after))))
    return _summary(scores)


def _folds(
    train: pd.DataFrame, number: int, classes: pd.Series[int] | None
) -> Iterator[tuple[Array, Array]]:
    """Positions of the rows that are learnt from and judged on, fold by fold."""
    if not number:
        return
    from sklearn.model_selection import KFold, StratifiedKFold  # noqa: PLC0415 - slow to import

    kind = KFold if classes is None else StratifiedKFold
    try:
        yield from kind(number, shuffle=True, random_state=_SEED).split(train, classes)
    except ValueError as error:
        raise StepFailed(f"{FOLDS.name} {number}: {error}") from error


def _summary(scores: list[dict[str, float]]) -> dict[str, float]:
    """Mean and standard deviation of each metric over the folds."""
    summary: dict[str, float] = {}
    for name in scores[0] if scores else ():
        values = np.array([one[name] for one in scores])
        summary[f"cv_{name}_mean"] = float(values.mean())
        summary[f"cv_{name}_std"] = float(values.std())
    return summary
