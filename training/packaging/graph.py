"""The outputs of a converted graph: which ones, by which names, in which shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.errors import NotPackaged


@dataclass(frozen=True)
class Output:
    """An output that is wanted: which of the graph's, its new name, its shape beyond the rows."""

    position: int
    name: str
    shape: tuple[int, ...]


def name_outputs(model: Any, wanted: Sequence[Output]) -> None:
    """Leave these outputs of an ONNX model, in this order; raises NotPackaged if it has too few."""
    from onnx import helper, numpy_helper  # noqa: PLC0415 - heavy

    graph = model.graph
    made = [*graph.output]
    if len(made) <= max(one.position for one in wanted):
        raise NotPackaged(f"its graph has {len(made)} outputs, at least {len(wanted)} are needed")
    _make_room(graph, {one.name for one in wanted})
    made = [*graph.output]
    del graph.output[:]
    for one in wanted:
        old = made[one.position]
        shape = np.array([-1, *one.shape], dtype=np.int64)
        constant = numpy_helper.from_array(shape, name=f"baton_shape_{one.name}")
        graph.initializer.append(constant)
        graph.node.append(helper.make_node("Reshape", [old.name, constant.name], [one.name]))
        kind = old.type.tensor_type.elem_type
        if not kind:
            raise NotPackaged(f"its graph answers {old.name}, which is no tensor")
        graph.output.append(helper.make_tensor_value_info(one.name, kind, [None, *one.shape]))


def _make_room(graph: Any, names: set[str]) -> None:
    """Give whatever in the graph has one of `names` another one."""
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [f"baton_{name}" if name in names else name for name in side]
    for output in graph.output:
        if output.name in names:
            output.name = f"baton_{output.name}"
