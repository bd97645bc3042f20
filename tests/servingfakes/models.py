"""Small ONNX graphs as bytes, each with one property that a test is about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR = 9
_FLOAT = TensorProto.FLOAT


def linear(slope: float, offset: float = 0.0, *, columns: int = 1) -> bytes:
    """`y = x · slope + offset` for `x` float[rows, columns]: tells versions apart."""
    return graph(
        [helper.make_node("Mul", ["x", "a"], ["ax"]), helper.make_node("Add", ["ax", "b"], ["y"])],
        [("x", _FLOAT, ["n", columns])],
        [("y", _FLOAT, ["n", columns])],
        {"a": np.float32([slope]), "b": np.float32([offset])},
    )


def classifier(*, columns: int = 4) -> bytes:
    """A label (int64, 0) and scores (float, x · 0.5) for float[rows, columns]."""
    return graph(
        [
            helper.make_node("ReduceMax", ["x", "axis"], ["top"], keepdims=0),
            helper.make_node("Cast", ["top"], ["label"], to=TensorProto.INT64),
            helper.make_node("Mul", ["x", "half"], ["scores"]),
        ],
        [("x", _FLOAT, ["n", columns])],
        [("label", TensorProto.INT64, ["n"]), ("scores", _FLOAT, ["n", columns])],
        {"half": np.float32([0.5]), "axis": np.int64([1])},
    )


def centred() -> bytes:
    """`y = x − mean`, over all rows of the request: no row is answered by itself."""
    return graph(
        [
            helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [("x", _FLOAT, ["n", 1])],
        [("y", _FLOAT, ["n", 1])],
        {"axis": np.int64([0])},
    )


def dense(width: int, *, layers: int = 2) -> bytes:
    """Layers of a network, float[rows, 4] in and one number out: rows together cost little more."""
    random = np.random.default_rng(0)
    sizes = [4, *[width] * layers, 1]
    nodes, constants = [], {}
    for number, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        weights = random.standard_normal((wide, narrow)) / np.sqrt(wide)
        constants[f"w{number}"] = weights.astype(np.float32)
        nodes += [
            helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"z{number}"]),
            helper.make_node("Tanh", [f"z{number}"], [f"x{number + 1}"]),
        ]
    return graph(
        nodes,
        [("x0", _FLOAT, ["n", 4])],
        [(f"x{len(sizes) - 1}", _FLOAT, ["n", 1])],
        constants,
    )


def not_a_number() -> bytes:
    """`x / 0`: NaN for 0, else infinite."""
    return graph(
        [helper.make_node("Div", ["x", "zero"], ["y"])],
        [("x", _FLOAT, ["n", 1])],
        [("y", _FLOAT, ["n", 1])],
        {"zero": np.float32([0.0])},
    )


def endless(rounds: int = 2**62) -> bytes:
    """A loop of so many rounds: loads at once and answers much later, or never."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["v", "v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", _FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", _FLOAT, None),
        ],
    )
    return graph(
        [helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)],
        [("x", _FLOAT, ["n", 1])],
        [("y", _FLOAT, ["n", 1])],
        {"rounds": np.int64(rounds), "yes": np.bool_(True)},
    )


def greedy(gibibytes: int) -> bytes:
    """Asks for a tensor of this size as soon as it is run."""
    return graph(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Mul", ["shape", "much"], ["size"]),
            helper.make_node("Expand", ["one", "size"], ["big"]),
            helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        [("x", _FLOAT, ["n", 1])],
        [("y", _FLOAT, ["n", 1])],
        {"much": np.int64([gibibytes * 2**28, 1]), "one": np.float32([1.0])},
    )


def text_length() -> bytes:
    """Two named string columns in, one of them out."""
    return graph(
        [
            helper.make_node("Identity", ["city"], ["out"]),
            helper.make_node("Identity", ["street"], ["other"]),
        ],
        [("city", TensorProto.STRING, ["n", 1]), ("street", TensorProto.STRING, ["n", 1])],
        [("out", TensorProto.STRING, ["n", 1]), ("other", TensorProto.STRING, ["n", 1])],
        {},
    )


def colours(
    shape: Sequence[Any] = ("n", 8, 8, 3),
    *,
    element: int = TensorProto.UINT8,
    last: str = "Softmax",
) -> bytes:
    """How red, green and blue pictures are: the mean of each channel, as probabilities."""
    channels_first = shape[1] == 3
    return graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=_FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
            helper.make_node("Div", ["means", "scale"], ["scores"]),
            helper.make_node(last, ["scores"], ["probabilities"]),
        ],
        [("image", element, shape)],
        [("probabilities", _FLOAT, [shape[0], 3])],
        {"axes": np.int64([2, 3] if channels_first else [1, 2]), "scale": np.float32([25.5])},
    )


def graph(
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    outputs: Sequence[tuple[str, int, Sequence[Any]]],
    constants: dict[str, Any],
) -> bytes:
    """A model of these nodes; inputs and outputs are (name, element type, shape)."""
    made_of = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    made = helper.make_model(made_of, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = IR
    return bytes(made.SerializeToString())
