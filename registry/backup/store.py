"""A store of named files: a directory, or a prefix of a bucket in S3.

Names are relative, with slashes. Artifacts are one such store, the place of backups another. What
it is to the caller (`what`) begins each message: a setting, or the argument of a command.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from registry.errors import StepFailed

PIECE_BYTES: Final = 1024 * 1024
_IN_MEMORY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """A file of a store. `stamp` differs whenever its bytes may: an ETag, or inode and times."""

    name: str
    size: int
    stamp: str


class Store(Protocol):
    """The port.

    Raises SettingsError for what is not there at all, Unreachable for a server that does not answer
    or refuses, StepFailed for a disk; FileNotFoundError for a file.
    """

    @property
    def address(self) -> str:
        """As people write it: a path, or s3://bucket/prefix."""

    @property
    def scratch(self) -> Path | None:
        """Where to put a file on its way here; None is the machine's own place for such."""

    def look(self) -> None:
        """Raise unless it is there and can be read."""

    def files(self, below: str = "") -> Iterator[Stored]:
        """Every file whose name begins with `below`, a folder with its slash; links are none."""

    def read(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file's bytes."""

    def write(self, name: str, source: IO[bytes]) -> None:
        """Make or replace a file, wholly or not at all."""

    def delete(self, name: str) -> None:
        """Take a file away; one that is gone is fine."""

    def settle(self) -> None:
        """See that what was written so far outlasts a power cut."""


@dataclass(frozen=True)
class Spool:
    """A file's bytes on this machine for a moment, at their beginning."""

    file: IO[bytes]
    sha256: str
    size: int


@contextmanager
def spooled(store: Store, name: str, scratch: Path | None) -> Iterator[Spool]:
    """Read a file to its end before anything is done with it; small ones stay in memory."""
    folder = str(scratch) if scratch else None
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=folder) as file:
        with store.read(name) as source:
            sha256, size = copied(source, file, scratch)
        file.seek(0)
        yield Spool(file, sha256, size)


def copied(source: IO[bytes], target: IO[bytes], scratch: Path | None) -> tuple[str, int]:
    """Copy everything into a scratch file; returns SHA-256 (hex) and size."""
    hashed, size = hashlib.sha256(), 0
    while piece := source.read(PIECE_BYTES):
        hashed.update(piece)
        size += len(piece)
        try:
            target.write(piece)
        except OSError as error:
            where = scratch or Path(tempfile.gettempdir())
            raise StepFailed(
                f"{where}: {error.strerror}: it must have room for one file, see TMPDIR"
            ) from error
    return hashed.hexdigest(), size


def overlap(one: Store, other: Store) -> bool:
    """Whether one of them lies in the other."""
    left, right = (f"{store.address.rstrip('/')}/" for store in (one, other))
    return left.startswith(right) or right.startswith(left)


def json_file(value: Any) -> IO[bytes]:
    """A value as a file to be written."""
    return io.BytesIO(json.dumps(value, indent=2).encode() + b"\n")
