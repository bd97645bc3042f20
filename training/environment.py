"""What a run was made with: code, packages, machine. Reads; changes nothing; imports no library."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

_GIT_SECONDS = 5
_ROOT = Path(__file__).resolve().parents[1]


def dependencies() -> dict[str, Any]:
    """Python and every installed package with its version."""
    packages = _packages()
    return {
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


@cache
def _packages() -> dict[str, str]:
    """Read once a process: that takes a tenth of the training of a small series."""
    return {d.name: d.version for d in importlib.metadata.distributions() if d.name}


def hardware() -> dict[str, Any]:
    """Processor, cores usable by this process, and memory in MiB."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "cuda_available": cuda_available(),
    }


def cuda_available() -> bool:
    """Whether the kernel shows an NVIDIA device; no library is asked."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def code() -> dict[str, str]:
    """Git commit and whether anything differed from it; empty outside a work tree."""
    commit = _git(["rev-parse", "HEAD"])
    if not commit:
        return {}
    dirty = _git(["status", "--porcelain", "--untracked-files=no"])
    return {"git_commit": commit, "git_dirty": str(bool(dirty)).lower()}


def pinned(*names: str) -> list[str]:
    """Requirements `name==version` of installed packages."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


def _cpu() -> str:
    """The processor's name, where the kernel tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _git(arguments: Sequence[str]) -> str:
    """Output of a git command on this code, or nothing."""
    try:
        done = subprocess.run(  # noqa: S603 - constant arguments
            ["git", *arguments],  # noqa: S607 - the git of the PATH
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
