"""A version whose every row costs a known time: products of matrices, in ONNX Runtime.

Answers `y = x`. The number of products is found by trying on this machine.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from serving.engines.onnx import OnnxEngine

_OPSET = 18
_IR = 9
_SIZE = 128
_CALLS = 20


def make(folder: Path, *, seconds: float) -> int:
    """Write `folder`/model.onnx, one row of which takes about `seconds`; returns its products."""
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    products = 32
    for _ in range(3):
        path.write_bytes(graph(products))
        products = max(1, round(products * seconds / _takes(path)))
    path.write_bytes(graph(products))
    return products


def graph(products: int) -> bytes:
    """The mean of `x · 1 · I · I …`, for float x [n, 1]: what multiplying does not change."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["x3"]),
        helper.make_node("Mul", ["x3", "ones"], ["m0"]),
        *(
            helper.make_node("MatMul", [f"m{n}", "same"], [f"m{n + 1}"], name=f"product{n}")
            for n in range(products)
        ),
        helper.make_node("ReduceMean", [f"m{products}", "square"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["y"]),
    ]
    constants = {
        "last": np.array([2], np.int64),
        "one": np.array([1], np.int64),
        "square": np.array([1, 2], np.int64),
        "ones": np.ones((1, _SIZE, _SIZE), np.float32),
        "same": np.eye(_SIZE, dtype=np.float32),
    }
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "heavy",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    made.ir_version = _IR
    return bytes(made.SerializeToString())


def _takes(path: Path) -> float:
    """Seconds of CPU a call."""
    engine = OnnxEngine.load(path)
    feed = {"x": np.ones((1, 1), np.float32)}
    engine.run(feed)
    begun = time.process_time()
    for _ in range(_CALLS):
        engine.run(feed)
    return (time.process_time() - begun) / _CALLS
