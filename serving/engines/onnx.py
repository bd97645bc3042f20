"""The ONNX engine: one ONNX Runtime session a worker, one thread a call.

Must be loaded after the worker was forked: a live session does not survive a fork.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from registry.errors import BundleInvalid, SignatureMismatch
from registry.manners import mind_manners
from registry.signature import Tensor
from serving import leisure

mind_manners()
import onnxruntime as ort  # noqa: E402 - it reads the environment when it is imported
from onnxruntime.capi.onnxruntime_pybind11_state import (  # noqa: E402
    Fail,
    InvalidArgument,
    RuntimeException,
)

_NUMPY_TYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "bool": "bool",
    "string": "object",
}
_ERRORS_ONLY = 3
_OUT_OF_MEMORY = "Failed to allocate memory"
_MAX_CAUSE = 400
_NOISE = (
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : ",
    r"^Load model from .* failed: ?",
    r"^.*Status Message: ",
    r"^(?:Error: )?\S+\.(?:h|cc):\d+ ",
    r"^.* was false\. ",
    r"^void .*\) (?=ONNX Runtime )",
)


class OnnxEngine:
    """A session, with its graph's inputs and outputs in our words."""

    def __init__(self, session: ort.InferenceSession) -> None:
        """Read the graph's inputs; raises BundleInvalid for one that is not a tensor."""
        self._session = session
        self.inputs = tuple(_tensor(node) for node in session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(node.name for node in session.get_outputs())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open `path` on the CPU, without threads of its own."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = leisure.compute(
                lambda: ort.InferenceSession(
                    str(path), sess_options=options, providers=["CPUExecutionProvider"]
                )
            )
        except Exception as error:  # ONNX Runtime has a class an error code and no common base
            raise BundleInvalid(
                f"{path.name}: ONNX Runtime cannot load it: {_cause(error)}"
            ) from error
        return cls(session)

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """One array an input, by name; each output as an array, or a list of mappings.

        Raises SignatureMismatch for values the graph does not take although its inputs' shapes do:
        an index out of range, an inner dimension that it leaves free and then cannot multiply.
        """
        try:
            answers = self._session.run(None, inputs)
        except (InvalidArgument, Fail, RuntimeException) as error:
            if not self._is_about(inputs, error):
                raise
            names = ", ".join(t.name for t in self.inputs)
            given = ", ".join(str(list(np.shape(array))) for array in inputs.values())
            taken = ", ".join(map(str, self.inputs))
            raise SignatureMismatch(
                names, expected=f"values for {taken}", got=f"shape {given}", detail=_cause(error)
            ) from error
        return dict(zip(self.outputs, answers, strict=True))

    def _is_about(self, inputs: Mapping[str, Any], error: Exception) -> bool:
        """Whether what was fed is to blame.

        ONNX Runtime says so for what it checks itself; a kernel's dimension mismatch is a plain
        failure, and is the request's where a dimension beyond the rows is the request's choice.
        """
        if isinstance(error, InvalidArgument):
            return True
        return _OUT_OF_MEMORY not in str(error) and any(
            -1 in tensor.shape[1:] for tensor in self.inputs if tensor.name in inputs
        )


def _tensor(node: Any) -> Tensor:
    """A graph input; a dimension without a fixed size is free."""
    kind = re.fullmatch(r"tensor\((\w+)\)", node.type)
    if not kind or kind[1] not in _NUMPY_TYPES:
        raise BundleInvalid(f"input {node.name!r}: expected a tensor, got {node.type}")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return Tensor(node.name, np.dtype(_NUMPY_TYPES[kind[1]]).name, shape)


def _cause(error: Exception) -> str:
    """ONNX Runtime's message without its status codes, source files, functions and our paths."""
    text = " ".join(str(error).split())
    for noise in _NOISE:
        text = re.sub(noise, "", text)
    return text[:_MAX_CAUSE]
