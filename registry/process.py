"""What our processes ask of the kernel."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Where things are, and what numerical libraries read.
_PLACES = ("PATH", "HOME", "LANG", "LC_", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHON")
_NUMERICS = ("OMP_", "OPENBLAS_", "MKL_", "CUDA_", "KERAS_", "TF_")


def die_with_parent(
    with_signal: signal.Signals = signal.SIGTERM, *, parent: int | None = None
) -> None:
    """Have the kernel send this process `with_signal` when its parent ends, however it ends.

    The kernel tells nothing of a parent that has ended already; `parent`, its process id taken
    before the fork, closes that gap.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), with_signal)


def write_out(folder: Path) -> None:
    """Wait until what was written to the file system of `folder` is on its disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


def bare_environment() -> dict[str, str]:
    """This process's environment for one that runs somebody's model: no secret, no address."""
    kept = _PLACES + _NUMERICS
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def cannot_listen(host: str, port: int) -> str | None:
    """Why nothing can be made to listen at `host`:`port`; None if it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        return str(error)
    return None
