"""How fast the engines answer, beside the libraries the models were trained with.

Each row is one call in this process: both sides answer the same request with the same version, one
after the other, so their ratio holds where absolute times are noise.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from prophet.serialize import model_from_json

from benchmarks.results import Row
from serving.engines.onnx import OnnxEngine
from serving.engines.prophet import ProphetEngine

DAYS = 30
REPEATS = 15


def forecast(version: Path) -> list[Row]:
    """30 days by a ProphetModel version (its files): Prophet itself, and our engine."""
    path = version / "model.pr"
    model = model_from_json(json.loads(path.read_text(encoding="utf-8")))
    engine = ProphetEngine.load(path, seed=1)
    dates = engine.calendar.after(DAYS)
    frame = pd.DataFrame({"ds": dates})
    theirs = _timed(lambda: model.predict(frame), calls=2)
    yhat = _timed(lambda: engine.run({"ds": dates}, band=False), calls=200)
    kept = _timed(lambda: engine.run({"ds": dates}), calls=200)
    hours = itertools.count(1)

    def apart() -> None:
        """Dates as far apart as none before: their band is not there yet."""
        steps = np.arange(DAYS) * np.timedelta64(next(hours), "h")
        engine.run({"ds": dates[0] + steps})

    simulated = _timed(apart, calls=40)
    return [
        Row.of("Prophet.predict, 30 days", theirs, goal=None),
        Row.of("engine, 30 days, yhat", yhat, goal=0.2),
        Row.of("engine, 30 days, with band, simulated", simulated, goal=3.0),
        Row.of("engine, 30 days, with band, spacing known", kept, goal=None),
    ]


def tabular(version: Path) -> list[Row]:
    """One iris row: scikit-learn itself, and our engine."""
    forest = skops.io.load(
        version / "model.skops", trusted=skops.io.get_untrusted_types(file=version / "model.skops")
    )
    engine = OnnxEngine.load(version / "baton" / "model.onnx")
    row = np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32)
    frame = pd.DataFrame(row, columns=forest.feature_names_in_)
    feed = {engine.inputs[0].name: row}
    theirs = _timed(lambda: forest.predict(frame), calls=10)
    ours = _timed(lambda: engine.run(feed), calls=1000)
    return [
        Row.of("RandomForestClassifier.predict, 1 row", theirs, goal=None),
        Row.of("engine, 1 row", ours, goal=0.05),
    ]


def _timed(call: Callable[[], object], *, calls: int) -> list[float]:
    """Milliseconds a call: the mean of `calls` calls, once a repeat, after one uncounted call."""
    call()
    repeats = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        repeats.append((time.perf_counter() - begun) / calls * 1000)
    return repeats
