"""Engines run models: arrays in, arrays out. One file an engine, found in the table below.

An engine knows nothing of requests, HTTP or where its file came from. None of them executes code
that a model file brings; for versions that are such code, the engine `runner` speaks to a process
of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from numpy.typing import NDArray

from registry.errors import BundleInvalid
from serving.engines.batching import Batched

if TYPE_CHECKING:
    from registry.bundle import Bundle

Arrays = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A loaded model. `run` may be called by several threads at once."""

    def run(self, inputs: Arrays) -> Mapping[str, Any]:
        """Named arrays in, named arrays out."""


Runner = Callable[["Bundle"], Engine]


def _onnx(bundle: Bundle, _seed: int, _runner: Runner | None) -> Engine:
    from serving.engines.onnx import OnnxEngine  # noqa: PLC0415 - loaded only where it is used

    engine = OnnxEngine.load(bundle.model_file)
    return Batched(engine, most_rows=bundle.batching.max_rows) if bundle.batching else engine


def _prophet(bundle: Bundle, seed: int, _runner: Runner | None) -> Engine:
    from serving.engines.prophet import ProphetEngine  # noqa: PLC0415 - as above

    return ProphetEngine.load(bundle.model_file, seed=seed)


def _runner(bundle: Bundle, _seed: int, runner: Runner | None) -> Engine:
    if runner is None:
        raise BundleInvalid("it needs a process of its own, and nobody here knows where that is")
    return runner(bundle)


_ENGINES: Final[Mapping[str, Callable[[Bundle, int, Runner | None], Engine]]] = {
    "onnx": _onnx,
    "prophet": _prophet,
    "runner": _runner,
}


def load(
    bundle: Bundle, *, allowed: Collection[str], seed: int, runner: Runner | None = None
) -> Engine:
    """Load a bundle's model file with its engine.

    `seed` makes sampled bands repeat; `runner` makes the engine of a version that is code. Raises
    BundleInvalid if the engine is not one of `allowed`, or if the file is not what it reads.
    """
    if bundle.engine not in allowed or bundle.engine not in _ENGINES:
        usable = sorted(set(allowed) & set(_ENGINES))
        raise BundleInvalid(
            f"it needs engine {bundle.engine!r}; allowed here (BATON_ENGINES) and known: "
            f"{', '.join(usable)}. A scikit-learn or Keras model has to be packaged as ONNX first "
            "(`python -m training package`), or BATON_ENGINES has to name 'runner' too: that "
            "executes code of the version's files"
        )
    return _ENGINES[bundle.engine](bundle, seed, runner)
