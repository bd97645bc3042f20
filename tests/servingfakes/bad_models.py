"""ONNX graphs that no server should ever load: each is bad in one way, and small on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.servingfakes import models

_X = [("x", TensorProto.FLOAT, ["n", 1])]
_Y = [("y", TensorProto.FLOAT, None)]


def unknown_opset() -> bytes:
    """A good graph that says it is from a far future."""
    made = onnx.load_from_string(models.linear(3))
    made.opset_import[0].version = 999
    return bytes(made.SerializeToString())


def one_row_for_all() -> bytes:
    """The mean over all rows: right in shape for one row, and one row for any number of them."""
    mean = helper.make_node("ReduceMean", ["x", "rows"], ["y"], keepdims=1)
    return models.graph([mean], _X, _Y, {"rows": np.int64([0])})


def every_row_twice() -> bytes:
    """Two rows for each one asked."""
    return models.graph([helper.make_node("Concat", ["x", "x"], ["y"], axis=0)], _X, _Y, {})


def one_number() -> bytes:
    """A sum without any dimension."""
    return models.graph([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], _X, _Y, {})


def crashes_on_load() -> bytes:
    """-2^31 ÷ -1 of two constants: folded while loading, where the processor refuses (SIGFPE)."""
    constants = {"least": np.int32([-(2**31)]), "minus": np.int32([-1])}
    return _plus(helper.make_node("Div", ["least", "minus"], ["folded"]), constants=constants)


def hangs_on_load(*, rounds: int = 100, size: int = 4096) -> bytes:
    """A chain of large products of constants, which ONNX Runtime folds while loading."""
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}"] * 2, [f"m{i + 1}"]) for i in range(rounds)]
    nodes += [helper.make_node("ReduceSum", [f"m{rounds}"], ["folded"], keepdims=0)]
    return _plus(*nodes, constants={"shape": np.int64([size, size])})


def huge(gibibytes: int) -> bytes:
    """A constant of this size, out of a few bytes."""
    return _plus(
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["folded"], keepdims=0),
        constants={"shape": np.int64([gibibytes * 2**28])},
    )


def any_width() -> bytes:
    """float[rows, any] times a constant of four rows: the width is wrong unless it is four."""
    return models.graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", "k"])],
        [("y", TensorProto.FLOAT, ["n", 1])],
        {"w": np.ones((4, 1), np.float32)},
    )


def embedding() -> bytes:
    """Four vectors by their number: the number is wrong unless it is below four."""
    return models.graph(
        [helper.make_node("Gather", ["w", "x"], ["y"])],
        [("x", TensorProto.INT64, ["n"])],
        [("y", TensorProto.FLOAT, ["n", 2])],
        {"w": np.ones((4, 2), np.float32)},
    )


def external(location: str, *, values: int = 16) -> bytes:
    """`y = x + sum(w)`, with the numbers of `w` (float32) in the file that is named."""
    made = onnx.load_from_string(
        _plus(
            helper.make_node("ReduceSum", ["w"], ["folded"], keepdims=0),
            constants={"w": np.zeros(values, np.float32)},
        )
    )
    [weights] = made.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    weights.external_data.add(key="length", value=str(4 * values))
    return bytes(made.SerializeToString())


def weights(*, values: int = 16) -> bytes:
    """What an external file of `external` holds."""
    return bytes(numpy_helper.from_array(np.ones(values, np.float32)).raw_data)


def _plus(*nodes: Any, constants: dict[str, Any]) -> bytes:
    """`y = x + folded`, where `folded` comes out of the nodes."""
    last = [
        helper.make_node("Cast", ["folded"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "number"], ["y"]),
    ]
    return models.graph([*nodes, *last], _X, [("y", TensorProto.FLOAT, ["n", 1])], constants)
