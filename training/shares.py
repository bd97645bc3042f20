"""A share's rows as a forecaster is asked about them: histories, origins, and what came after.

Every version is judged by the same requests, however long its window is and however far it looks:
at origins that move through the hold-out, from the rows before each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from training.data.dataset import DATE, VALUE, iso
from training.workload import Array, Request

COLUMNS: Final = ("open", "high", "low", "close", "volume")
CLOSE: Final = COLUMNS.index("close")
DAYS: Final = 10
ROWS: Final = 120
BETWEEN: Final = 5
_FIELDS: Final = ("open", "high", "low", VALUE, "volume")


def values(frame: pd.DataFrame) -> Array:
    """Rows of the data set, [n, 5]."""
    return frame[[*_FIELDS]].to_numpy(dtype=float)


def asked_values(asked: Request) -> Array:
    """The rows of a request's history, [n, 5]."""
    return np.array([[row[name] for name in COLUMNS] for row in asked["history"]], dtype=float)


def history(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the data set as a request brings them."""
    dates = [iso(moment) for moment in frame[DATE]]
    return [
        {DATE: date, **dict(zip(COLUMNS, row, strict=True))}
        for date, row in zip(dates, values(frame).tolist(), strict=True)
    ]


def requests(frame: pd.DataFrame) -> Sequence[Request]:
    """The rows before each origin, and the days that are known after it."""
    return [
        {"history": history(frame.iloc[at - ROWS : at]), "horizon": DAYS} for at in _origins(frame)
    ]


def truth(frame: pd.DataFrame) -> Array:
    """The closes after each origin, one origin after the other, [origins · days]."""
    closes = frame[VALUE].to_numpy()
    return np.concatenate([closes[at : at + DAYS] for at in _origins(frame)])


def _origins(frame: pd.DataFrame) -> range:
    return range(ROWS, len(frame) - DAYS + 1, BETWEEN)
