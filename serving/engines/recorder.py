"""An engine in between that keeps what the model was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.rowwise import Arrays
from registry.signature import Tensor


class Recorder:
    """See the module."""

    def __init__(self, engine: Any) -> None:
        """`engine` answers."""
        self.engine = engine
        self.inputs: tuple[Tensor, ...] = engine.inputs
        self.outputs: tuple[str, ...] = engine.outputs
        self.asked: list[Arrays] = []

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep, and pass on."""
        self.asked.append(inputs)
        answer: Mapping[str, Any] = self.engine.run(inputs)
        return answer
