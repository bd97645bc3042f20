"""Keras, as workloads use it: the same numbers for the same seed, and ONNX that answers the same.

Importing TensorFlow takes seconds and half a gigabyte, and most environments do not have it, so
that nothing here is imported before it is needed (training/apart.py says where it is).
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import StepFailed
from training import onnx_model
from training.environment import pinned
from training.workload import Array

# Beyond this a probability is another answer; float32 in another order of summing is below it.
TOLERANCE = 1e-5
_ASKED_TOGETHER = 64


def keras() -> Any:
    """The library, without TensorFlow's chatter about the processor."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras as library  # noqa: PLC0415 - see the module's docstring

    return library


def seed_everything(seed: int) -> None:
    """The same weights, batches and sums from here on, on the same machine.

    Sums are made in a fixed order, which costs some speed, for the rest of this process.
    """
    library = keras()
    import tensorflow as tf  # noqa: PLC0415 - see the module's docstring

    library.utils.set_random_seed(seed % 2**32)
    tf.config.experimental.enable_op_determinism()


def requirements() -> list[str]:
    """What a saved model needs, by version; the CPU build of TensorFlow has a name of its own."""
    try:
        return pinned("keras", "numpy", "tensorflow-cpu")
    except PackageNotFoundError:
        return pinned("keras", "numpy", "tensorflow")


def predict(model: Any, inputs: Array) -> Array:
    """The model's one output for `inputs`, [n, …], always asked in calls of 64 rows."""
    answer: Array = model.predict(inputs, batch_size=_ASKED_TOGETHER, verbose=0)
    return answer


def save(model: Any, path: Path) -> None:
    """As Keras writes it: `path` ends with `.keras`."""
    model.save(path)


def load(path: Path) -> Any:
    """The reverse of `save`; code in the file is not run."""
    return keras().models.load_model(path, safe_mode=True)


def convert(model: Any, path: Path) -> None:
    """Write the model as ONNX: its inputs by their names, any number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model.export(str(path), format="onnx", verbose=False)


def check_parity(path: Path, inputs: Array, expected: Array) -> float:
    """Largest difference between the graph's first output and the model's, on all of `inputs`.

    Raises StepFailed unless every value is within 1e-5.
    """
    run = onnx_model.asked(path)
    name = onnx_model.input_names(path)[0]
    parts = range(0, len(inputs), _ASKED_TOGETHER)
    answers = [run({name: inputs[at : at + _ASKED_TOGETHER]}) for at in parts]
    got = np.concatenate([next(iter(answer.values())) for answer in answers])
    if got.shape != expected.shape:
        raise StepFailed(f"{path.name}: expected answers {expected.shape}, got {got.shape}")
    worst = float(np.abs(got - expected).max(initial=0.0))
    if not worst <= TOLERANCE:
        raise StepFailed(
            f"{path.name}: answers differ by {worst:.2g} from Keras'; at most {TOLERANCE:g} is "
            "allowed"
        )
    return worst
