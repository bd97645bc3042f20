"""What must hold before anything is fitted: each check refuses by row and value.

Checks are pure functions of a Dataset; which of them apply is the workload's `Requirements`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from registry.errors import DataInvalid
from training.data.dataset import DATE, Dataset, iso


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a workload asks of its data.

    `max_gap_steps` is the longest allowed distance between two dates, in the usual (median)
    distance; `positive` names columns that must be above zero.
    """

    min_rows: int
    dated: bool = False
    max_gap_steps: float = 10.0
    positive: tuple[str, ...] = ()
    min_labels: tuple[str, int] | None = None


def check(data: Dataset, wanted: Requirements) -> None:
    """Raise DataInvalid for the first thing that is wrong, with up to three more named."""
    problems = _problems(data, wanted)
    first = next(problems, None)
    if first is None:
        return
    more = [problem for problem, _ in zip(problems, range(3), strict=False)]
    raise DataInvalid("; ".join([f"{data.origin}, {first}", *more]))


def _problems(data: Dataset, wanted: Requirements) -> Iterator[str]:
    """Every problem, the most basic first; later checks rely on earlier ones."""
    if len(data.frame) < wanted.min_rows:
        yield f"all rows: expected at least {wanted.min_rows}, got {len(data.frame)}"
    missing = [*_missing(data.frame)]
    yield from missing
    if missing:
        return
    for column in wanted.positive:
        yield from _not_positive(data.frame[column])
    if wanted.dated:
        disorder = [*_disorder(data.frame[DATE])]
        yield from disorder
        if not disorder:
            yield from _gaps(data.frame[DATE], wanted.max_gap_steps)
    if wanted.min_labels is not None:
        column, least = wanted.min_labels
        if (found := data.frame[column].nunique()) < least:
            yield f"all rows: {column}: expected at least {least} different values, got {found}"


def _missing(frame: pd.DataFrame) -> Iterator[str]:
    """Cells without a value, or with one that is not finite."""
    for column in frame.columns:
        values = frame[column]
        bad = values.isna()
        if values.dtype.kind == "f":
            bad |= ~np.isfinite(values)
        for row in values.index[bad]:
            yield f"row {row}: {column}: expected a finite value, got {values.loc[row]}"


def _not_positive(values: pd.Series[float]) -> Iterator[str]:
    """Values that are zero or below."""
    for row in values.index[values <= 0]:
        yield f"row {row}: {values.name}: expected more than 0, got {values.loc[row]:g}"


def _disorder(dates: pd.Series[pd.Timestamp]) -> Iterator[str]:
    """Dates that come twice or go back."""
    steps = dates.diff()
    for row in dates.index[(steps <= pd.Timedelta(0)).to_numpy()]:
        before = dates.shift().loc[row]
        what = "is there twice" if dates.loc[row] == before else f"comes after {iso(before)}"
        yield f"row {row}: {DATE}: dates must increase, but {iso(dates.loc[row])} {what}"


def _gaps(dates: pd.Series[pd.Timestamp], max_gap_steps: float) -> Iterator[str]:
    """Distances far above the usual one."""
    steps = dates.diff()
    usual = steps.median()
    for row in dates.index[(steps > usual * max_gap_steps).to_numpy()]:
        yield (
            f"row {row}: {DATE}: a gap of {steps.loc[row] / usual:.0f} steps before "
            f"{iso(dates.loc[row])}; at most {max_gap_steps:g} are allowed"
        )
