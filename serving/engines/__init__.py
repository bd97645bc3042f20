"""Engines run models: arrays in, arrays out. One file an engine, found in the table below.

An engine knows nothing of requests, HTTP or where its file came from. None of them can execute code
that a model file brings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from numpy.typing import NDArray

from registry.errors import BundleInvalid

if TYPE_CHECKING:
    from registry.bundle import Bundle

Arrays = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A loaded model. `run` may be called by several threads at once."""

    def run(self, inputs: Arrays) -> Mapping[str, Any]:
        """Named arrays in, named arrays out."""


def _onnx(path: Path, _seed: int) -> Engine:
    from serving.engines.onnx import OnnxEngine  # noqa: PLC0415 - loaded only where it is used

    return OnnxEngine.load(path)


def _prophet(path: Path, seed: int) -> Engine:
    from serving.engines.prophet import ProphetEngine  # noqa: PLC0415 - as above

    return ProphetEngine.load(path, seed=seed)


_ENGINES: Final[Mapping[str, Callable[[Path, int], Engine]]] = {"onnx": _onnx, "prophet": _prophet}


def load(bundle: Bundle, *, allowed: Collection[str], seed: int) -> Engine:
    """Load a bundle's model file with its engine.

    `seed` makes sampled bands repeat. Raises BundleInvalid if the engine is not one of `allowed`,
    or if the file is not what the engine reads.
    """
    if bundle.engine not in allowed or bundle.engine not in _ENGINES:
        usable = sorted(set(allowed) & set(_ENGINES))
        raise BundleInvalid(
            f"it needs engine {bundle.engine!r}; allowed here (BATON_ENGINES) and known: "
            f"{', '.join(usable)}. A scikit-learn or Keras model has to be packaged as ONNX first"
        )
    return _ENGINES[bundle.engine](bundle.model_file, seed)
