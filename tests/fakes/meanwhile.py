"""A port during one of whose calls somebody else does something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Meanwhile:
    """`happens` is called once, right after the first call of `method`."""

    def __init__(self, port: object, method: str, happens: Callable[[], object]) -> None:
        self._port = port
        self._method = method
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name != self._method:
            return found

        def call(*args: Any, **named: Any) -> Any:
            result = found(*args, **named)
            happens, self._happens = self._happens, lambda: None
            happens()
            return result

        return call
