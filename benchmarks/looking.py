"""Looks at something on a thread of its own, between entering and leaving."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

_LEAVE_SECONDS = 20.0


class Looking:
    """A context manager; what is looked at says `look`, until `stop` is set."""

    def __init__(self, name: str) -> None:
        """Nothing is looked at yet."""
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self.look, name=name, daemon=True)

    def look(self) -> None:
        """Go on until `stop`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        self.stop.set()
        self._thread.join(_LEAVE_SECONDS)
