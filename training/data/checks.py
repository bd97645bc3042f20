"""What must hold before anything is fitted: each check refuses by row and value.

Which checks apply is the workload's `Requirements`; they become a schema of pandera, whose failures
are told as rows of the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from registry.errors import DataInvalid
from training.data.dataset import DATE, Dataset, iso

if TYPE_CHECKING:
    import pandera.pandas as pa

_TOLD = 4


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a workload asks of its data.

    `max_gap_steps` is the longest allowed distance between two dates, in the usual (median)
    distance; `positive` names columns that must be above zero, `different` a column and how many
    different values it must have at least.
    """

    min_rows: int
    dated: bool = False
    max_gap_steps: float = 10.0
    positive: tuple[str, ...] = ()
    different: tuple[str, int] | None = None


def check(data: Dataset, wanted: Requirements) -> None:
    """Raise DataInvalid for the first thing that is wrong, with up to three more named.

    What has no value is told alone: later checks rely on it.
    """
    for schema in (_complete(data.frame), _sensible(data.frame, wanted)):
        problems = [*_problems(data.frame, schema)]
        if problems:
            raise DataInvalid(f"{data.origin}, {'; '.join(problems[:_TOLD])}")


def _complete(frame: pd.DataFrame) -> pa.DataFrameSchema:
    """A finite value in every cell."""
    import pandera.pandas as pa  # noqa: PLC0415 - half a second

    finite = pa.Check(_is_finite, error="expected a finite value", ignore_na=False)
    return pa.DataFrameSchema(
        {name: pa.Column(checks=finite, nullable=True) for name in frame.columns}
    )


def _sensible(frame: pd.DataFrame, wanted: Requirements) -> pa.DataFrameSchema:
    """Enough rows, values in their range, dates in their order, and something to learn."""
    import pandera.pandas as pa  # noqa: PLC0415 - half a second

    checks: dict[str, list[pa.Check]] = {name: [] for name in frame.columns}
    for name in wanted.positive:
        checks[name].append(pa.Check.gt(0, error="expected more than 0"))
    if wanted.dated:
        most = f"expected at most {wanted.max_gap_steps:g} usual steps after the date before"
        checks[DATE] += [
            pa.Check(_is_later, error="expected a later date than the row before"),
            pa.Check(lambda dates: _is_near(dates, wanted.max_gap_steps), error=most),
        ]
    few = f"expected at least {wanted.min_rows}, got {len(frame)}"
    whole = [pa.Check(lambda rows: len(rows) >= wanted.min_rows, error=few)]
    if wanted.different is not None:
        column, least = wanted.different
        found = frame[column].nunique()
        same = f"{column}: expected at least {least} different values, got {found}"
        whole.append(pa.Check(lambda _: found >= least, error=same))
    return pa.DataFrameSchema(
        {name: pa.Column(checks=of) for name, of in checks.items()}, checks=whole
    )


def _problems(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> Iterator[str]:
    """Every failure, those of the whole before those of a row."""
    from pandera.errors import SchemaErrors  # noqa: PLC0415 - half a second

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for failed in errors.failure_cases.itertuples():
            if failed.column is None:
                yield f"all rows: {failed.check}"
            else:
                said = f"{failed.column}: {failed.check}, got {_shown(failed.failure_case)}"
                yield f"row {failed.index}: {said}"


def _is_finite(values: pd.Series[Any]) -> pd.Series[bool]:
    return values.notna() if values.dtype.kind != "f" else np.isfinite(values)


def _is_later(dates: pd.Series[pd.Timestamp]) -> pd.Series[bool]:
    return ~(dates.diff() <= pd.Timedelta(0))


def _is_near(dates: pd.Series[pd.Timestamp], most: float) -> pd.Series[bool]:
    """Of dates in disorder nothing is said: which of them are far from the others is not known."""
    steps = dates.diff()
    far = steps > steps.median() * most
    return ~(far & bool(_is_later(dates).all()))


def _shown(value: Any) -> str:
    """A value of the data, as a person would write it."""
    if isinstance(value, pd.Timestamp):
        return iso(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
