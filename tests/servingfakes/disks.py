"""A disk of a few pages, to be filled: a real file system, so that ENOSPC is the kernel's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.missing import ServiceMissing


@dataclass(frozen=True)
class Disk:
    """A mounted file system; `ballast` is what fills it."""

    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / ".ballast"

    @property
    def free_bytes(self) -> int:
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def fill(self, *, leaving: int = 0) -> None:
        """Take all room but `leaving` bytes."""
        room = self.free_bytes - leaving
        with self.ballast.open("ab") as file:
            if room > 0:
                os.posix_fallocate(file.fileno(), file.tell(), room)

    def empty(self) -> None:
        """Give the room back."""
        self.ballast.unlink()


@contextmanager
def small_disk(path: Path, *, kilobytes: int) -> Iterator[Disk]:
    """Mount one at `path` until the block ends. Raises ServiceMissing where one may not."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise ServiceMissing(f"no file system can be mounted here: {why.strip()}") from error
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
