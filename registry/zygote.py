"""A process that has imported what a module needs, and forks a child for each run of it.

    python -m registry.background idle registry.zygote MODULE [ALSO_IMPORTED…]

Importing is most of what a short run of `MODULE.main(arguments)` computes, and it would be computed
beside requests. The zygote never runs anything itself, so that each child starts from the same
clean state; it opens no files and starts no threads, since neither survives a fork well.

An order is one message on its standard input, a socket: the arguments as JSON, with two
descriptors. The first is where the child's output goes. The second is a *leash*, on which its exit
status comes back as JSON; when the other end lets go of it, the child is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from registry.process import die_with_parent

_ROOT = Path(__file__).resolve().parents[1]
_MAX_BYTES = 65536
_STOP_SECONDS = 5.0


@dataclass
class Zygote:
    """The side that gives orders. Thread-safe; started by the first order, or by `start`."""

    module: str
    imported: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _orders: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Have it import, at the lowest priority there is; its children have the same."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "registry.background", "idle", "registry.zygote"]
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*command, self.module, *self.imported],
                cwd=_ROOT,
                env=self.environment,
                stdin=theirs.fileno(),
            )
        self._orders = ours

    def run(self, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
        """Run the module in a child; `stderr` is all that it wrote.

        Raises subprocess.TimeoutExpired once it is too late, OSError if there can be no zygote.
        """
        with tempfile.TemporaryFile() as words:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    self._order(arguments, (words.fileno(), theirs.fileno()))
                ours.settimeout(seconds)
                try:
                    told = ours.recv(_MAX_BYTES)
                except TimeoutError:
                    raise subprocess.TimeoutExpired(self.module, seconds) from None
            words.seek(0)
            status = json.loads(told) if told else -signal.SIGKILL
            return subprocess.CompletedProcess(arguments, status, stderr=words.read())

    def close(self) -> None:
        """Let it end."""
        with self._lock:
            self._forget()

    def _order(self, arguments: Sequence[str], descriptors: Sequence[int]) -> None:
        order = [json.dumps(arguments).encode()]
        with self._lock:
            try:
                socket.send_fds(self._running(), order, descriptors)
            except OSError:  # it was ended: a new one imports everything first
                self._forget()
                socket.send_fds(self._running(), order, descriptors)

    def _running(self) -> socket.socket:
        if self._orders is None:
            self.start()
        assert self._orders
        return self._orders

    def _forget(self) -> None:
        if self._orders and self._process:
            self._orders.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self._orders = self._process = None


def main() -> None:
    """Import, then fork for each order until nobody can give one."""
    module, *imported = sys.argv[1:]
    for name in (module, *imported):
        importlib.import_module(name)
    gc.freeze()  # a child's garbage collector leaves alone what is here: its pages stay shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when nobody can give orders any more
    orders = socket.socket(fileno=0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, _MAX_BYTES, 2)
        if not message:
            return
        if os.fork() == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # or orders would reach nobody unnoticed
            _watch_over(module, json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch_over(module: str, arguments: Sequence[str], words: int, leash: int) -> NoReturn:
    """Run the module in a child of this process; tell its exit status, or kill it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent(signal.SIGKILL, parent=guard)
        os.close(leash)
        _become(module, arguments, words)
    readable, _, _ = select.select([os.pidfd_open(child), leash], (), ())
    if leash in readable:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        os.write(leash, json.dumps(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(module: str, arguments: Sequence[str], words: int) -> NoReturn:
    """Be the module until it returns, exits or raises."""
    os.dup2(words, 1)
    os.dup2(words, 2)
    code = 1
    try:
        code = importlib.import_module(module).main(arguments)
    except SystemExit as asked:
        if isinstance(asked.code, str):
            sys.stderr.write(asked.code)
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:  # noqa: BLE001 - the last words of this process
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
