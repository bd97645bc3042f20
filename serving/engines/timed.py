"""An engine with a stopwatch: how long its runs took, by thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any


class Timed:
    """Any engine, unchanged but for `seconds`."""

    def __init__(self, engine: Any) -> None:
        """`engine` has a method `run`; whatever else it has is read through."""
        self._engine, self._run = engine, engine.run
        self._spent = threading.local()

    def __getattr__(self, name: str) -> Any:
        """What the engine says of itself."""
        return getattr(self._engine, name)

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the engine does."""
        begun = time.perf_counter()
        try:
            return self._run(inputs)  # type: ignore[no-any-return]
        finally:
            self._spent.seconds = self.seconds + time.perf_counter() - begun

    @property
    def seconds(self) -> float:
        """How long all of this thread's runs took together."""
        return getattr(self._spent, "seconds", 0.0)
