"""Generated data for measurements: seeded, and called generated wherever it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20_261_101


def series(path: Path, count: int, *, rows: int = 400, begin: int = 0) -> Path:
    """A table of `count` daily series with a trend, a week and noise, sorted by series."""
    dates = pd.date_range("2025-01-01", periods=rows)
    parts = []
    for number in range(begin, begin + count):
        random = np.random.default_rng([SEED, number])
        trend = 100 + np.cumsum(random.normal(0.02, 0.5, rows))
        week = random.normal(0, 3, 7)[np.arange(rows) % 7]
        y = np.maximum(trend + week + random.normal(0, 1, rows), 1.0)
        name = f"generated-{number:05}"
        parts.append(pd.DataFrame({"series": name, "ds": dates, "y": y}))
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(parts, ignore_index=True).to_parquet(path, index=False, row_group_size=50 * rows)
    return path


def flowers(path: Path, rows: int, columns: list[str]) -> Path:
    """So many rows of four measurements, in the range of iris."""
    random = np.random.default_rng(SEED)
    values = random.uniform([4.3, 2.0, 1.0, 0.1], [7.9, 4.4, 6.9, 2.5], (rows, 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(values, columns=columns).to_parquet(path, index=False, row_group_size=100_000)
    return path
