"""ONNX out of a scikit-learn classifier, and the proof that it answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import StepFailed
from registry.manners import mind_manners
from registry.rowwise import Run
from training.workload import Array

INPUT = "X"
OUTPUTS = ("label", "probabilities")
TOLERANCE = 1e-5


def convert(model: Any, path: Path, *, features: int) -> None:
    """Write `path`: input "X" float32 [n, features]; outputs label [n], probabilities [n, k]."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - slow, and only the package step needs it
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415 - as above

    graph = to_onnx(
        model,
        initial_types=[(INPUT, FloatTensorType([None, features]))],
        options={id(model): {"zipmap": False}},
    )
    for node_output in graph.graph.output:
        if node_output.name not in OUTPUTS:
            raise StepFailed(f"{path.name}: unexpected output {node_output.name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString())


def run(path: Path, rows: Array) -> tuple[Array, Array]:
    """Label [n] and probabilities [n, k] of `rows` [n, features] in ONNX Runtime."""
    mind_manners()
    import onnxruntime  # noqa: PLC0415 - only the package step needs it

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    label, probabilities = session.run(list(OUTPUTS), {INPUT: rows.astype(np.float32)})
    return np.asarray(label), np.asarray(probabilities)


def asked(path: Path) -> Run:
    """The graph as a worker asks it: on the CPU, one thread a call."""
    mind_manners()
    import onnxruntime  # noqa: PLC0415 - only the package step needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
    names = [node.name for node in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, dict(feed)), strict=True))


def input_names(path: Path) -> list[str]:
    """What the graph takes, in its order."""
    import onnx  # noqa: PLC0415 - only the package step needs it

    graph = onnx.load(path).graph
    constants = {one.name for one in graph.initializer}
    return [one.name for one in graph.input if one.name not in constants]


def check_parity(path: Path, rows: Array, *, label: Array, probabilities: Array) -> float:
    """Largest difference between the graph's probabilities and the model's, on `rows`.

    Raises StepFailed unless every label is equal and every probability within 1e-5.
    """
    got_label, got_probabilities = run(path, rows)
    if (differ := np.flatnonzero(got_label != label)).size:
        row = differ[0]
        raise StepFailed(
            f"{path.name}: hold-out row {row}: expected label {label[row]}, got {got_label[row]}"
        )
    worst = float(np.abs(got_probabilities - probabilities).max(initial=0.0))
    if not worst <= TOLERANCE:
        raise StepFailed(
            f"{path.name}: probabilities differ by {worst:.2g}; at most {TOLERANCE:g} is allowed"
        )
    return worst
