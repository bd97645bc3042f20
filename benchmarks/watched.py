"""A command of Baton, run to its end and looked at from outside: its time, and its memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.node import ROOT, CommandFailed, Node
from benchmarks.processes import resident_mb

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Watched:
    """What it said, how long it took in all, the CPU of it and all its processes (seconds), and its
    own process's memory at each look (MiB).
    """

    said: dict[str, Any]
    wall: float
    cpu: float
    memory_mb: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Without its start, as it said."""
        return float(self.said["seconds"])

    @property
    def grown_mb(self) -> float:
        """From after the first third, when everything is imported, to the most there was."""
        later = self.memory_mb[len(self.memory_mb) // 3 :]
        return max(later) - later[0]


def watch(node: Node, module: str, *arguments: str) -> Watched:
    """Run `python -m module …arguments --json`; raises CommandFailed unless it ends with 0."""
    begun, before = time.monotonic(), _cpu_of_children()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--json"],
        cwd=ROOT,
        env=node.environ,
        stdout=subprocess.PIPE,
        stderr=node.home.joinpath("command.log").open("ab"),
    )
    memory = []
    while process.poll() is None:
        try:
            memory.append(resident_mb(process.pid))
        except (OSError, ValueError, StopIteration):  # it ended in between
            break
        time.sleep(_LOOK_SECONDS)
    out, _ = process.communicate()
    wall = time.monotonic() - begun
    if process.returncode:
        words = node.home.joinpath("command.log").read_text(errors="replace")[-2000:]
        raise CommandFailed(f"{module} {' '.join(arguments)}: exit {process.returncode}: {words}")
    return Watched(json.loads(out), wall, _cpu_of_children() - before, tuple(memory))


def _cpu_of_children() -> float:
    """Of every process below this one that has ended and was waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
