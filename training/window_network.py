"""A network that looks at the last rows of a share and tells how its price goes on, in Keras.

Input: rows as they are, [n, length, 5]: open, high, low, close, volume. In the graph they become
logarithms relative to the last close (volume: to the window's mean), scaled as the training part
was. Two heads learn together: `direct` tells all days at once, `stepwise` the next row, from which
a path is made by feeding it its own answers. Which one is served is decided by how far they were
off on windows that neither had learnt from.

Keras is imported on first use: `keras_model.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from registry.errors import StepFailed
from training import keras_model, onnx_model, window_loop
from training.shares import CLOSE, COLUMNS
from training.workload import Array

Strategy = Literal["direct", "recursive"]
TOLERANCE: Final = 1e-4
_PATIENCE = 6
_BATCH = 64
_LEAST = 1e-6  # below that a scale is none


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Rows in, days out, and how large the network between them is."""

    length: int
    days: int
    hidden: int
    layers: int


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What the training part was like: mean and deviation of each feature and of each target.

    `features` [2, 5]; `direct` [days] and `stepwise` [5] are deviations of what the heads tell.
    """

    features: Array
    direct: Array
    stepwise: Array

    def to_json(self) -> dict[str, Any]:
        """As kept beside the model."""
        return {name: getattr(self, name).tolist() for name in ("features", "direct", "stepwise")}


def windows(rows: Array, length: int) -> Array:
    """Every run of `length` rows, [n - length + 1, length, columns]."""
    return np.lib.stride_tricks.sliding_window_view(rows, length, axis=0).swapaxes(1, 2)


def features(window: Array, *, ops: Any = np) -> Array:
    """Logarithms of prices relative to the last close, of volume relative to the window's mean.

    `ops` is numpy, or Keras' operations for the same in a graph.
    """
    prices = ops.log(window[:, :, :4] / window[:, -1:, CLOSE : CLOSE + 1])
    volume = ops.log(window[:, :, 4:] + 1.0)
    found: Array = ops.concatenate([prices, volume - ops.mean(volume, axis=1, keepdims=True)], -1)
    return found


def targets(rows: Array, shape: Shape) -> tuple[Array, Array]:
    """Of each window with `days` rows after it: log returns of each day, and the next row.

    [n, days] relative to the window's last close; [n, 5] as `features` would show the next row.
    """
    seen = windows(rows, shape.length)[: len(rows) - shape.length - shape.days + 1]
    last = seen[:, -1, CLOSE]
    after = windows(rows[shape.length :], shape.days)
    direct = np.log(after[:, :, CLOSE] / last[:, None])
    following = after[:, 0]
    volume = np.log(following[:, 4] + 1.0) - np.log(seen[:, :, 4] + 1.0).mean(axis=1)
    stepwise = np.column_stack([np.log(following[:, :4] / last[:, None]), volume])
    return direct, stepwise


def measured(rows: Array, shape: Shape) -> Scales:
    """Measured on the rows that are learnt from."""
    direct, stepwise = targets(rows, shape)
    seen = features(windows(rows, shape.length)).reshape(-1, len(COLUMNS))
    return Scales(
        features=np.stack([seen.mean(axis=0), np.maximum(seen.std(axis=0), _LEAST)]),
        direct=np.maximum(direct.std(axis=0), _LEAST),
        stepwise=np.maximum(stepwise.std(axis=0), _LEAST),
    )


def build(shape: Shape, scales: Scales) -> Any:
    """The network with both heads, not trained."""
    keras = keras_model.keras()
    entry = keras.Input((shape.length, len(COLUMNS)), name="window")
    mean, deviation = scales.features.astype(np.float32)
    flow = (features(entry, ops=keras.ops) - mean) / deviation
    for number in range(shape.layers):
        last = number == shape.layers - 1
        flow = keras.layers.LSTM(shape.hidden, return_sequences=not last)(flow)
    direct = keras.layers.Dense(shape.days, name="direct")(flow)
    stepwise = keras.layers.Dense(len(COLUMNS), name="stepwise")(flow)
    return keras.Model(entry, [direct, stepwise])


def train(
    model: Any, rows: Array, scales: Scales, shape: Shape, *, epochs: int, rate: float, held: int
) -> dict[str, list[float]]:
    """Learn, stop early by the last `held` windows, keep the best; returns the curves by epoch."""
    keras = keras_model.keras()
    wanted = [part / scale for part, scale in _zip(targets(rows, shape), scales)]
    seen = windows(rows, shape.length)[: len(wanted[0])].astype(np.float32)
    # Between both parts lie as many windows as the targets of the first reach into the second.
    end = len(seen) - held
    learnt = end - shape.days
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=["mse", "mse"])
    found = model.fit(
        seen[:learnt],
        [part[:learnt] for part in wanted],
        validation_data=(seen[end:], [part[end:] for part in wanted]),
        epochs=epochs,
        batch_size=_BATCH,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping(patience=_PATIENCE, restore_best_weights=True)],
    )
    return {name: [float(value) for value in found.history[name]] for name in ("loss", "val_loss")}


def paths(model: Any, seen: Array, scales: Scales, strategy: Strategy, days: int) -> Array:
    """Log returns of each day relative to the last close, [n, days], by one of both heads."""
    if strategy == "direct":
        return np.asarray(model.predict_on_batch(seen)[0], float) * scales.direct
    told, window = [], seen.astype(np.float64)
    start = window[:, -1, CLOSE]
    for _ in range(days):
        stepwise = np.asarray(model.predict_on_batch(window.astype(np.float32))[1], float)
        following = _row(window, stepwise * scales.stepwise)
        told.append(np.log(following[:, CLOSE] / start))
        window = np.concatenate([window[:, 1:], following[:, None]], axis=1)
    return np.stack(told, axis=1)


def served(model: Any, scales: Scales, shape: Shape, strategy: Strategy, band: Array) -> Any:
    """The network as it answers: prices `yhat`, `yhat_lower`, `yhat_upper`, [n, days] each.

    `band` [2, days] is what is added to a day's log return for its bounds.
    """
    keras = keras_model.keras()
    ops = keras.ops
    entry = keras.Input((shape.length, len(COLUMNS)), name="window")
    last = entry[:, -1, CLOSE : CLOSE + 1]
    if strategy == "direct":
        path = model(entry)[0] * scales.direct.astype(np.float32)
    else:
        told, window = [], entry
        for _ in range(shape.days):
            stepwise = model(window)[1] * scales.stepwise.astype(np.float32)
            following = _row(window, stepwise, ops=ops)
            told.append(ops.log(following[:, CLOSE : CLOSE + 1] / last))
            window = ops.concatenate([window[:, 1:], ops.expand_dims(following, 1)], axis=1)
        path = ops.concatenate(told, axis=1)
    low, high = band.astype(np.float32)
    outputs = {"yhat": path, "yhat_lower": path + low, "yhat_upper": path + high}
    return keras.Model(entry, {name: last * ops.exp(value) for name, value in outputs.items()})


def export(
    model: Any, scales: Scales, shape: Shape, strategy: Strategy, band: Array, path: Path
) -> None:
    """Write what `served` answers as ONNX: input `window`, outputs by their names.

    One step after the other is a loop in the graph, around what Keras makes of a single step.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if strategy == "direct":
        graph = served(model, scales, shape, strategy, band)
        names = ["window", *graph.output]
    else:
        graph, names = _step(model, scales, shape), ["window", *window_loop.STEP]
    graph(np.ones((1, shape.length, len(COLUMNS)), np.float32))  # else Keras exports nothing
    graph.export(str(path), format="onnx", verbose=False)
    window_loop.rename(path, names)
    if strategy == "recursive":
        window_loop.around(path, days=shape.days, band=band)


def _step(model: Any, scales: Scales, shape: Shape) -> Any:
    """A window to the window after it, and the close that came into it."""
    keras = keras_model.keras()
    entry = keras.Input((shape.length, len(COLUMNS)), name="window")
    following = _row(entry, model(entry)[1] * scales.stepwise.astype(np.float32), ops=keras.ops)
    after = keras.ops.concatenate([entry[:, 1:], keras.ops.expand_dims(following, 1)], axis=1)
    return keras.Model(entry, [after, following[:, CLOSE : CLOSE + 1]])


def check_parity(path: Path, seen: Array, told: Mapping[str, Array]) -> float:
    """Largest relative difference between the graph's answers and `told` for windows `seen`.

    Raises StepFailed if one is over 1e-4: both compute in float32, in another order.
    """
    answers = onnx_model.asked(path)({"window": seen})
    worst = max(float(np.abs(answers[name] / value - 1).max()) for name, value in told.items())
    if not worst <= TOLERANCE:
        raise StepFailed(
            f"{path.name}: forecasts differ by {worst:.2g} of their value; at most {TOLERANCE:g} "
            "is allowed"
        )
    return worst


def _row(window: Array, stepwise: Array, *, ops: Any = np) -> Array:
    """The row that follows, [n, 5], from how the stepwise head shows it."""
    prices = window[:, -1, CLOSE : CLOSE + 1] * ops.exp(stepwise[:, :4])
    mean = ops.mean(ops.log(window[:, :, 4] + 1.0), axis=1, keepdims=True)
    volume = ops.exp(mean + stepwise[:, 4:]) - 1.0
    following: Array = ops.concatenate([prices, volume], 1)
    return following


def _zip(parts: Sequence[Array], scales: Scales) -> Sequence[tuple[Array, Array]]:
    return list(zip(parts, (scales.direct, scales.stepwise), strict=True))
