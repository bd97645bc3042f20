"""The names in a spool: its id, its lanes, their segments; and who still writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Final

CORRUPT: Final = "corrupt"
_NEW: Final = ".new-"
_ABANDONED_SECONDS: Final = 60.0


def identity(spool: Path) -> str:
    """The name of this spool, made once. Raises OSError."""
    path = spool / "id"
    with contextlib.suppress(FileNotFoundError):
        if text := path.read_text(encoding="ascii").strip():
            return text
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = spool / f"{_NEW}id"
    scratch.write_text(os.urandom(16).hex(), encoding="ascii")
    scratch.replace(path)
    return path.read_text(encoding="ascii").strip()


def new_lane(spool: Path) -> tuple[Path, int]:
    """A lane of this process, and the descriptor that holds it. Raises OSError.

    Nobody sees it before it is held, and it is held until the process ends, however that happens.
    """
    name = f"{time.time_ns():x}-{os.urandom(4).hex()}"
    scratch = spool / f"{_NEW}{name}"
    scratch.mkdir(mode=0o700, parents=True)
    held = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        return scratch.rename(spool / name), held
    except OSError:
        os.close(held)
        raise


def lanes(spool: Path) -> list[Path]:
    """Every lane, the oldest first."""
    with contextlib.suppress(FileNotFoundError):
        found = (Path(entry.path) for entry in os.scandir(spool) if entry.is_dir())
        return sorted(one for one in found if one.name[0] != "." and one.name != CORRUPT)
    return []


def is_held(lane: Path) -> bool:
    """Whether the worker that writes there still runs."""
    try:
        handle = os.open(lane, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def segments(lane: Path) -> list[int]:
    """The numbers of a lane's segments, rising."""
    with contextlib.suppress(FileNotFoundError):
        stems = (entry.name.partition(".") for entry in os.scandir(lane))
        return sorted(int(stem) for stem, _, rest in stems if rest == "seg" and stem.isdigit())
    return []


def segment(lane: Path, number: int) -> Path:
    """The file of one."""
    return lane / f"{number:08d}.seg"


def used_bytes(spool: Path) -> int:
    """What all segments have together; what disappears meanwhile does not count."""
    total = 0
    for lane in lanes(spool):
        for number in segments(lane):
            with contextlib.suppress(FileNotFoundError):
                total += segment(lane, number).stat().st_size
    return total


def keep_aside(spool: Path, name: str, data: bytes) -> Path:
    """Keep bytes that cannot be read; the same ones twice are one file. Raises OSError."""
    path = spool / CORRUPT / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(data)
    return path


def sweep(spool: Path, now: float) -> None:
    """Remove lanes that a killed worker had only begun to make; `now` is of `time.time()`."""
    for path in spool.glob(f"{_NEW}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_dir() and now - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
