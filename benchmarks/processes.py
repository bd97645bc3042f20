"""What `/proc` says about a server: its processes, their memory, descriptors, threads and CPU."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PASSING = ("idle serving.trial", "nice serving.trial")  # what comes and goes with a version
_SETTLE_SECONDS = 1.0
_LOOKS = 5
_SETTLE_LOOKS = 20
_SETTLE_LOOK_SECONDS = 0.5
_LITTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Footprint:
    """What a server holds at one moment; `resident_mb` is gunicorn with its workers."""

    resident_mb: float
    descriptors: int
    threads: int
    files: int


def footprint(server: int, *, folders: Sequence[Path]) -> Footprint:
    """The server below process `server`, and the files in `folders`: the least of a few looks."""
    time.sleep(_SETTLE_SECONDS)
    looks = []
    for _ in range(_LOOKS):
        lasting = [server, *descendants(server)]
        lasting = [pid for pid in lasting if not any(p in command(pid) for p in _PASSING)]
        workers = [pid for pid in lasting if "gunicorn" in command(pid)]
        looks.append(
            (
                sum(map(resident_mb, workers)),
                sum(map(_descriptors, lasting)),
                sum(map(_threads, lasting)),
                sum(map(_files, folders)),
            )
        )
        time.sleep(_SETTLE_SECONDS / _LOOKS)
    resident, descriptors, threads, files = (min(values) for values in zip(*looks, strict=True))
    return Footprint(resident, int(descriptors), int(threads), int(files))


def worker_pids(server: int) -> list[int]:
    """The gunicorn workers below a supervisor."""
    masters = [pid for pid in children(server) if "gunicorn" in command(pid)]
    return [pid for master in masters for pid in children(master)]


def watcher_pid(server: int) -> int:
    """The watcher below a supervisor."""
    [pid] = [pid for pid in children(server) if "serving.node" in command(pid)]
    return pid


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def settle(pid: int) -> None:
    """Wait until a process and all below it do next to nothing: what starts also imports."""
    for _ in range(_SETTLE_LOOKS):
        before = {one: cpu_seconds(one) for one in (pid, *descendants(pid))}
        time.sleep(_SETTLE_LOOK_SECONDS)
        known = [one for one in (pid, *descendants(pid)) if one in before]
        if sum(cpu_seconds(one) - before[one] for one in known) < _LITTLE_SECONDS:
            return


def stolen_seconds() -> float:
    """CPU that this machine's host has kept back from it so far ("steal"), of all processors."""
    total = Path("/proc/stat").read_text("utf-8").partition("\n")[0].split()
    return int(total[8]) / _TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB; 0 for one that ended."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return kib * 1024 / 1e6
    return 0.0


def proportional_mb(pid: int) -> float:
    """Memory of a process in MB, each page divided by how many share it; 0 for one that ended."""
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def started(pid: int) -> int:
    """When a process began, in the kernel's ticks (with its id, who it is); 0 for none."""
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[19]) if fields else 0


def children(pid: int) -> list[int]:
    """The processes that a process started, from any of its threads."""
    return [
        int(child)
        for task in _entries(Path(f"/proc/{pid}/task"))
        for child in _text(task / "children").split()
    ]


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


def command(pid: int) -> str:
    """Its command line; empty for one that ended."""
    return _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def _descriptors(pid: int) -> int:
    return len(list(_entries(Path(f"/proc/{pid}/fd"))))


def _threads(pid: int) -> int:
    return len(list(_entries(Path(f"/proc/{pid}/task"))))


def _files(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.is_file() for path in folder.rglob("*"))
    return 0


def _entries(folder: Path) -> Iterable[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return ()


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
