"""A loop in ONNX around a graph of one step: a path is made by feeding a step its own answers.

Unrolled, thirty steps of an LSTM are thousands of nodes, and take a minute to convert.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from registry.errors import StepFailed
from training.workload import Array

STEP: Final = ("after", "close")
_WINDOW: Final = "window"


def rename(path: Path, names: Sequence[str]) -> None:
    """Give the inputs and outputs of the graph in `path` these names, in this order."""
    onnx = _onnx()
    model = onnx.load(path)
    values = [*model.graph.input, *model.graph.output]
    if len(values) != len(names):
        raise StepFailed(f"{path.name}: expected {', '.join(names)}, got {len(values)} values")
    renamed = dict(zip((value.name for value in values), names, strict=True))
    for node in model.graph.node:
        for listed in (node.input, node.output):
            for number, name in enumerate(listed):
                listed[number] = renamed.get(name, name)
    for value in values:
        value.name = renamed[value.name]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def around(path: Path, *, days: int, band: Array) -> None:
    """Make the step in `path` a path of so many: from `window` to prices [n, days] and their band.

    The step takes `window`, and gives `after`, the next window, and `close`, [n, 1]. `band`
    [2, days] is what is added to the logarithm of a day's price for its bounds.
    """
    onnx = _onnx()
    make = onnx.helper.make_node
    model = onnx.load(path)
    step = model.graph
    for node in step.node:
        node.input[:] = ["before" if name == _WINDOW else name for name in node.input]
    [entry], [after, close] = step.input, step.output
    outer_entry = onnx.ValueInfoProto.FromString(entry.SerializeToString())
    entry.name = "before"
    flag = onnx.helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, [])
    number = onnx.helper.make_tensor_value_info("number", onnx.TensorProto.INT64, [])
    on = onnx.helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, [])
    body = onnx.helper.make_graph(
        [make("Identity", ["go"], ["on"]), *step.node],
        "step",
        [number, flag, entry],
        [on, after, close],
    )
    low, high = np.exp(band).astype(np.float32)
    constants = {
        "days": np.int64(days),
        "true": np.bool_(True),
        "last_axis": np.array([2], np.int64),
        "low": low,
        "high": high,
    }
    nodes = [
        make("Loop", ["days", "true", _WINDOW], ["end", "closes"], body=body),
        make("Transpose", ["closes"], ["by_window"], perm=[1, 0, 2]),
        make("Squeeze", ["by_window", "last_axis"], ["yhat"]),
        make("Mul", ["yhat", "low"], ["yhat_lower"]),
        make("Mul", ["yhat", "high"], ["yhat_upper"]),
    ]
    outputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, days])
        for name in ("yhat", "yhat_lower", "yhat_upper")
    ]
    initializers = [
        *step.initializer,
        *(onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()),
    ]
    graph = onnx.helper.make_graph(nodes, "path", [outer_entry], outputs, initializers)
    del model.graph.node[:]
    model.graph.CopyFrom(graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _onnx() -> Any:
    import onnx  # noqa: PLC0415 - only the package step needs it

    return onnx
