"""ONNX out of a scikit-learn classifier or regression, and the proof that it answers the same.

Graphs compute in float32, scikit-learn in float64, so "the same" needs a tolerance. Labels must be
equal and probabilities within 1e-5: they lie between 0 and 1 and are read to a few digits. Where a
model finds two classes equally probable (25 of 50 trees for each), rounding decides, and either
label is right: a tie.

A regression has a unit, so there the tolerance is relative: 1e-5 of the value and of the spread of
what was learnt (its standard deviation). float32 keeps 24 bits, 6e-8 of each term; where large
terms cancel, the error is that share of the terms and not of the sum, which is why a share of the
value alone would ask too much near zero. What passes is wrong by a hundred-thousandth of the
spread; a model with an R² of 0.9999 is itself wrong by a hundredth of it.
"""

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
NUMBER = "prediction"
# What skl2onnx calls a regression's output, [n, 1].
_COLUMN = "variable"
TOLERANCE = 1e-5


def convert(model: Any, path: Path, *, features: int) -> None:
    """Write `path`: input "X" float32 [n, features]; outputs label [n], probabilities [n, k]."""
    made = _graph(model, features, OUTPUTS, {id(model): {"zipmap": False}})
    _write(made, path)


def convert_regression(model: Any, path: Path, *, features: int) -> None:
    """Write `path`: input "X" float32 [n, features]; output prediction float32 [n]."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - with skl2onnx, as below

    made = _graph(model, features, (_COLUMN,), {})
    graph = made.graph
    [column] = graph.output
    flat = numpy_helper.from_array(np.array([-1], dtype=np.int64), name="baton_flat")
    graph.initializer.append(flat)
    graph.node.append(helper.make_node("Reshape", [column.name, flat.name], [NUMBER]))
    graph.output.remove(column)
    graph.output.append(helper.make_tensor_value_info(NUMBER, TensorProto.FLOAT, [None]))
    _write(made, path)


def _graph(model: Any, features: int, outputs: tuple[str, ...], options: dict[int, Any]) -> Any:
    """The graph as skl2onnx makes it; raises StepFailed if it has other outputs than expected."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - slow, and only the package step needs it
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415 - as above

    rows = FloatTensorType([None, features])
    made = to_onnx(model, initial_types=[(INPUT, rows)], options=options)
    if (names := tuple(node.name for node in made.graph.output)) != outputs:
        raise StepFailed(f"ONNX: expected outputs {', '.join(outputs)}, got {', '.join(names)}")
    return made


def _write(graph: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString())


def run(path: Path, rows: Array) -> tuple[Array, Array]:
    """Label [n] and probabilities [n, k] of `rows` [n, features] in ONNX Runtime."""
    answers = asked(path)({INPUT: rows.astype(np.float32)})
    label, probabilities = (np.asarray(answers[name]) for name in OUTPUTS)
    return label, probabilities


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

    Raises StepFailed unless every label is equal, but for ties, and every probability within 1e-5.
    """
    got_label, got_probabilities = run(path, rows)
    if (differ := np.flatnonzero((got_label != label) & ~tied(probabilities))).size:
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


def tied(probabilities: Array) -> Array:
    """Which rows of `probabilities` [n, k] have no one most probable class; bool [n].

    Two that lie within twice the tolerance may change places.
    """
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities), dtype=bool)
    first_two = np.sort(probabilities, axis=1)[:, -2:]
    ties: Array = np.diff(first_two, axis=1)[:, 0] <= 2 * TOLERANCE
    return ties


def check_numbers(path: Path, rows: Array, *, predicted: Array, spread: float) -> float:
    """Largest difference between the graph's predictions and the model's, on `rows`.

    `spread` is the standard deviation of what was learnt, in its unit. Raises StepFailed, naming
    the row, unless each prediction is within 1e-5 · (its value + `spread`).
    """
    got = np.asarray(asked(path)({INPUT: rows.astype(np.float32)})[NUMBER], dtype=np.float64)
    if got.shape != predicted.shape:
        raise StepFailed(f"{path.name}: expected {predicted.shape[0]} rows, got {list(got.shape)}")
    apart = np.abs(got - predicted)
    allowed = TOLERANCE * (np.abs(predicted) + spread)
    if (differ := np.flatnonzero(~(apart <= allowed))).size:
        row = differ[0]
        raise StepFailed(
            f"{path.name}: hold-out row {row}: expected {predicted[row]:.9g}, got {got[row]:.9g}; "
            f"at most {allowed[row]:.2g} apart is allowed. Numbers so large, or coefficients that "
            "cancel so much, do not fit into float32: scale the columns, or use a tree"
        )
    return float(apart.max(initial=0.0))
