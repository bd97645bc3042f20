"""Versions to swap between: version n of a model answers `x · n + 1000 · n`, in float32.

What any of them answers is known without a server, and no two answer alike. Some load slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from registry.bundle import Manifest
from registry.ledger import Route

_OPSET = 18
_IR = 9
_BURN_SIZE = 512
SLEEP_MARKER = "sleeps.json"  # the stand-in of `standin/` looks for it


@dataclass(frozen=True)
class Versions:
    """Makes versions below `root`, each when it is asked for.

    `burn_products`: so many products of constant 512 × 512 matrices are folded at each load: real
    CPU in ONNX Runtime, without a stand-in. `sleep_seconds`: a marker for the stand-in.
    """

    root: Path
    burn_products: int = 0
    sleep_seconds: float = 0.0

    def route(self, number: int) -> Route:
        """The route to version `number`, as the judge would have written it."""
        folder = self.root / f"v{number}"
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "model.onnx").write_bytes(_graph(number, self.burn_products))
            if self.sleep_seconds:
                (folder / SLEEP_MARKER).write_text(f"{self.sleep_seconds}", encoding="ascii")
        manifest = Manifest.of(folder)
        return Route(
            version=number,
            created_ms=1,
            digest=manifest.digest,
            source=str(folder),
            manifest=manifest,
        )


def predict(version: str, x: float) -> float:
    """What version n answers to x, offline: the same two float32 operations."""
    if not version.isdigit() or version == "0":
        raise KeyError(version)
    n = np.float32(int(version))
    return float(np.float32(x) * n + np.float32(1000) * n)


def _graph(number: int, burn_products: int) -> bytes:
    """`y = x · a + b`; with products to fold, `+ 0` that only folding them shows to be 0."""
    nodes = [helper.make_node("Mul", ["x", "a"], ["ax"])]
    constants: dict[str, Any] = {
        "a": np.array([number], np.float32),
        "b": np.array([1000 * number], np.float32),
    }
    if burn_products:
        nodes += [
            *_products(burn_products),
            helper.make_node("Add", ["ax", "b"], ["axb"]),
            helper.make_node("Add", ["axb", "folded"], ["y"]),
        ]
        constants["shape"] = np.array([_BURN_SIZE, _BURN_SIZE], np.int64)
    else:
        nodes += [helper.make_node("Add", ["ax", "b"], ["y"])]
    return _model(nodes, constants)


def _products(count: int) -> list[Any]:
    """A chain of products of constants that ends in the scalar `folded`."""
    chain = [
        helper.make_node("MatMul", [f"m{n}", f"m{n}"], [f"m{n + 1}"], name=f"product{n}")
        for n in range(count)
    ]
    return [
        helper.make_node("ConstantOfShape", ["shape"], ["m0"]),
        *chain,
        helper.make_node("ReduceSum", [f"m{count}"], ["folded"], keepdims=0),
    ]


def _model(nodes: Sequence[Any], constants: dict[str, Any]) -> bytes:
    shape = ["n", 1]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    made.ir_version = _IR
    return bytes(made.SerializeToString())
