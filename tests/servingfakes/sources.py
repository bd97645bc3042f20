"""An artifact store in memory: slow, broken, hanging or lying when told to, and it counts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from registry.bundle import FileDigest, Manifest
from registry.errors import BundleInvalid, Unreachable
from serving.node.sources.source import Opened, Pieces


@dataclass
class Seconds:
    """A clock that only its owner moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeSource:
    """Files by name, handed out in pieces of `piece` bytes, each `piece_seconds` later."""

    files: dict[str, bytes]
    clock: Seconds = field(default_factory=Seconds)
    piece: int = 4
    piece_seconds: float = 0.0
    open_seconds: float = 0.0
    says_size: bool = True
    has_ranges: bool = True
    breaks_after: int | None = None  # bytes of one answer
    hangs: threading.Event | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)
    given: int = 0
    opened: int = 0
    closed: int = 0

    def __call__(self, _address: str) -> FakeSource:
        return self

    def manifest(self) -> Manifest:
        """What the judge would have hashed (here only sizes matter)."""
        return Manifest({name: FileDigest("0" * 64, len(b)) for name, b in self.files.items()})

    def open(self, name: str, start: int) -> Opened:
        self.asked.append((name, start))
        self.clock.now += self.open_seconds
        if self.hangs:
            self.hangs.wait(30)
        if name not in self.files:
            raise BundleInvalid(f"fake://{name}: no such object")
        self.opened += 1
        content, start = self.files[name], start if self.has_ranges else 0
        size = len(content) if self.says_size else None
        return Opened(start, size, self._pieces(content[start:]))

    def _pieces(self, content: bytes) -> Pieces:
        try:
            for begin in range(0, len(content), self.piece):
                if self.breaks_after is not None and begin >= self.breaks_after:
                    raise Unreachable("fake://: broke off")
                self.clock.now += self.piece_seconds
                self.given += len(content[begin : begin + self.piece])
                yield content[begin : begin + self.piece]
        finally:
            self.closed += 1
