"""A version's files in a directory of this machine, or of a share it has mounted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from registry.errors import BundleInvalid, Unreachable
from serving.node.sources.source import PIECE_BYTES, Opened, Pieces


@dataclass(frozen=True)
class Files:
    """A directory. No link below it is followed."""

    root: Path

    def open(self, name: str, start: int) -> Opened:
        """See `Source.open`."""
        path = self.root / name
        try:
            if path.resolve() != self.root.resolve() / name or not path.is_file():
                raise BundleInvalid(f"{path}: no such file in the artifact store")
            size = path.stat().st_size
            if size < start:
                raise BundleInvalid(
                    f"{path}: expected more than {start} bytes, the file has {size}"
                )
            file = path.open("rb")
            file.seek(start)
        except OSError as error:
            raise _away(path, error) from error
        return Opened(start, size, _pieces(path, file))


def _pieces(path: Path, file: BinaryIO) -> Pieces:
    with file:
        try:
            while piece := file.read(PIECE_BYTES):
                yield piece
        except OSError as error:
            raise _away(path, error) from error


def _away(path: Path, error: OSError) -> Unreachable:
    reason = error.strerror or str(error)
    return Unreachable(f"{path}: cannot be read: {reason}; look at the share and its permissions")
