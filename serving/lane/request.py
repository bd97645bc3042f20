"""One request as it came: bytes, of which nobody has understood anything yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serving.answer import ATTEMPT_OF


@dataclass(slots=True)
class Request:
    """One request, its body whole. Header values are read by name, in any case."""

    method: bytes
    target: bytes
    version: tuple[int, int]
    headers: list[tuple[bytes, bytes]]
    value: Callable[[bytes], bytes | None]
    peer: tuple[str, int] | None
    here: tuple[str, int] | None
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        found = self.value(name.encode("latin-1"))
        return None if found is None else found.decode("latin-1")

    def header_of_a_client(self, name: str) -> str | None:
        """The same without what only a trusted proxy may say."""
        return None if name == ATTEMPT_OF else self.header(name)
