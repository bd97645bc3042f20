"""The port to an artifact store: reads one file of a version from any byte on.

It knows no manifest, no deadline and no disk; those are `serving/node/fetch.py`'s, its only caller.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

Pieces = Generator[bytes, None, None]
PIECE_BYTES = 256 * 1024
# A store that says nothing for this long, while connecting or in the middle of a file, is away.
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Opened:
    """A file on its way.

    `start` is the byte it really begins with, 0 where the store cannot begin elsewhere; `size` the
    bytes of the whole file, where the store says so; `pieces` raises Unreachable if it breaks off.
    """

    start: int
    size: int | None
    pieces: Pieces


class Source(Protocol):
    """One version's directory in a store."""

    def open(self, name: str, start: int) -> Opened:
        """Begin reading the file `name` at byte `start`.

        Raises BundleInvalid if there is no such file or it ends before `start`; Unreachable if the
        store does not answer or refuses. Both name the address and never a password.
        """
