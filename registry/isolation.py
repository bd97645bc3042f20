"""What a process that runs somebody's model gives up first: memory beyond a limit, the network."""

from __future__ import annotations

import ctypes
import os
import resource

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MIB = 1024 * 1024


def isolate(memory_mb: int) -> str:
    """Limit this process's memory and take its network away, loopback too; says what was to be had.

    `network namespace`, or `none` where the kernel allows no new one.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MIB, memory_mb * _MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if ctypes.CDLL(None, use_errno=True).unshare(flags) == 0:
        return "network namespace"
    return "none"
