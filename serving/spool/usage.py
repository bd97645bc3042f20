"""How many bytes a spool has: told by its shipper at each look, read by workers at every record.

Between two looks each worker adds what it has written itself, as if all the others wrote as much.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

_TOLD: Final = struct.Struct("QQ")  # number of looks, bytes


class Usage:
    """The mapped file of one spool."""

    def __init__(self, spool: Path) -> None:
        """Make it if there is none. Raises OSError."""
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(spool / "used", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Not sparse: where the disk is full this raises, a mapped hole would kill.
            os.posix_fallocate(handle, 0, _TOLD.size)
            self._map = mmap.mmap(handle, _TOLD.size)
        finally:
            os.close(handle)

    def tell(self, used: int) -> None:
        """So many bytes are there now."""
        looks, _ = self.told()
        _TOLD.pack_into(self._map, 0, looks + 1, used)

    def told(self) -> tuple[int, int]:
        """How often that was told, and the bytes at the last time."""
        looks, used = _TOLD.unpack_from(self._map)
        return looks, used

    def close(self) -> None:
        """Unmap it."""
        self._map.close()
