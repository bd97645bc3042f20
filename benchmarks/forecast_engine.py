"""How fast the prophet engine answers, beside `Prophet.predict`.

    python -m benchmarks.forecast_engine

The series is synthetic: 2,000 days with a trend that bends, a week, a year and noise. Both sides
forecast the same 30 days with the same fitted parameters, in this process, one after the other.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from prophet import Prophet
from prophet.serialize import model_to_json

from serving.engines.prophet import ProphetEngine

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 2_000
DAYS = 30
REPEATS = 15


def measure() -> list[dict[str, Any]]:
    """Milliseconds a call of each way to forecast 30 days.

    One row each: `name`, `median_ms`, `low_ms`, `high_ms` (the least and the most of the repeats,
    each the mean of several calls) and `times_faster` than `Prophet.predict`.
    """
    model = _fitted()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pr"
        path.write_text(json.dumps(model_to_json(model)))
        load_ms = _milliseconds(lambda: ProphetEngine.load(path, seed=1), calls=5)
        engine = ProphetEngine.load(path, seed=1)
    dates = engine.calendar.after(DAYS)
    frame = pd.DataFrame({"ds": dates})
    timed = {
        "Prophet.predict": _milliseconds(lambda: model.predict(frame), calls=2),
        "engine, yhat only": _milliseconds(
            lambda: engine.run({"ds": dates}, band=False), calls=200
        ),
        "engine, band of 1,000": _milliseconds(lambda: engine.run({"ds": dates}), calls=40),
        "engine, load": load_ms,
    }
    theirs = statistics.median(timed["Prophet.predict"])
    return [
        {
            "name": name,
            "median_ms": statistics.median(repeats),
            "low_ms": min(repeats),
            "high_ms": max(repeats),
            "times_faster": theirs / statistics.median(repeats),
        }
        for name, repeats in timed.items()
    ]


def _fitted() -> Prophet:
    """A Prophet with its defaults on the synthetic series."""
    rng = np.random.default_rng(7)
    i = np.arange(ROWS)
    season = 4 * np.sin(2 * np.pi * i / 7) + 9 * np.sin(2 * np.pi * i / 365.25)
    trend = 0.02 * i - 0.03 * np.maximum(i - 900, 0)
    y = 60 + trend + season + rng.normal(size=ROWS)
    dates = pd.date_range("2020-01-01", periods=ROWS)
    return Prophet().fit(pd.DataFrame({"ds": dates, "y": y}))


def _milliseconds(call: Callable[[], object], *, calls: int) -> list[float]:
    """The mean of `calls` calls, once a repeat, after one call that is not counted."""
    call()
    repeats = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        repeats.append((time.perf_counter() - start) / calls * 1e3)
    return repeats


def main() -> None:
    """Print the table."""
    print(f"{DAYS} days of a Prophet fitted on {ROWS} synthetic days; {REPEATS} repeats")
    print(f"{'':24}{'median ms':>10}{'least':>10}{'most':>10}{'faster':>10}")
    for row in measure():
        times = f"{row['median_ms']:10.3f}{row['low_ms']:10.3f}{row['high_ms']:10.3f}"
        print(f"{row['name']:24}{times}{row['times_faster']:9.0f}x")


if __name__ == "__main__":
    main()
