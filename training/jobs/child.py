"""The process of one attempt at a job, as its worker sees it: started, heard, ended.

It has a group of its own, so that whatever it starts ends with it, and the kernel ends it with its
worker. It becomes another program where the workload's libraries are in another environment
(training/apart.py); the worker does not notice.
"""

from __future__ import annotations

import json
import logging
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import IO, Any, Final

from registry.jobs import Claim, JobState, Outcome, Progress
from registry.process import die_with_parent
from training.jobs.channel import WorkerEnd

COMMAND: Final = (sys.executable, "-m", "training", "job")
# Long enough for MLflow to be told; whatever still runs then is killed.
GRACE_SECONDS: Final = 5.0
_LINES, _LINE_LETTERS = 50, 500
_PART: Final = 65_536
_TOLD: Final = ("step", "progress", "run_id", "metrics")
_UNPRINTABLE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

_log = logging.getLogger(__name__)


class Child:
    """One process, started by a worker's main thread: it ends with the thread that started it."""

    def __init__(self, claim: Claim, command: Sequence[str] = COMMAND) -> None:
        """Start it; raises OSError if the machine cannot."""
        self.seen = Progress()
        self.told: Outcome | None = None
        self.asks = False
        self.exit_code: int | None = None
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._rest = b""
        self._kill_at: float | None = None
        here, there = socket.socketpair()
        self._channel = WorkerEnd(here)
        with there, _asked(claim) as asked:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*command, str(there.fileno())],
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[there.fileno()],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                process_group=0,
                preexec_fn=partial(die_with_parent, signal.SIGKILL, parent=os.getpid()),  # noqa: PLW1509 - no threads here
            )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ, self._read)
        self._selector.register(self._channel, selectors.EVENT_READ, self._hear)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    def listen(self, seconds: float) -> None:
        """Wait that long at most for it to say something; see whether it has ended."""
        if self.exit_code is not None:
            return
        if self._selector.get_map():
            for key, _ in self._selector.select(seconds):
                key.data()
        else:
            time.sleep(seconds)
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            self._ended()

    def go(self) -> None:
        """Let it do what it asked for."""
        self.asks = False
        self._channel.go()

    def end(self, now: float) -> None:
        """Ask it to end; `insist` does the rest."""
        if self._kill_at is None:
            self._kill_at = now + GRACE_SECONDS
            self._signal(signal.SIGTERM)

    def insist(self, now: float) -> None:
        """Kill what was asked to end and has had its time."""
        if self._kill_at is not None and now >= self._kill_at:
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of what belonged to a process that has ended."""
        self._selector.close()
        self._channel.close()
        self._output.close()

    def _ended(self) -> None:
        """Hear its last words, end whatever it has started, and bury it."""
        self._hear()
        self._read()
        self._signal(signal.SIGKILL)
        self.exit_code = self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To its whole group; nobody else's, since it has not been waited for."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _hear(self) -> None:
        try:
            said = self._channel.heard()
        except ValueError as error:
            _log.warning("process %s said what is no JSON: %s", self.pid, error)
            said = []
        for one in said:
            self._learn(one)
        if self._channel.is_over:
            self._forget(self._channel)

    def _learn(self, said: Mapping[str, Any]) -> None:
        """Remember what was said."""
        known = {name: said[name] for name in _TOLD if name in said}
        self.seen = replace(self.seen, **known)
        self.asks = self.asks or bool(said.get("may_i"))
        if "failed" in said:
            self.told = Outcome(state=JobState.FAILED, reason=said["failed"])
        if "finished" in said:
            self.seen = replace(self.seen, progress=1.0)
            self.told = Outcome(state=JobState.FINISHED, **said["finished"])

    def _read(self) -> None:
        """What it prints: the last lines are kept."""
        while True:
            try:
                part = os.read(self._output.fileno(), _PART)
            except BlockingIOError:
                break
            if not part:
                self._forget(self._output)
                break
            *whole, self._rest = re.split(rb"[\r\n]", self._rest + part)
            self._rest = self._rest[:_PART]
            for line in whole:
                text = _UNPRINTABLE.sub("", line.decode("utf-8", "replace")).rstrip()
                if text:
                    self._lines.append(text[:_LINE_LETTERS])
        self.seen = replace(self.seen, log=tuple(self._lines))

    def _forget(self, source: IO[bytes] | WorkerEnd) -> None:
        """It will not say anything there any more."""
        with suppress(KeyError):
            self._selector.unregister(source)


def _asked(claim: Claim) -> IO[bytes]:
    """What is to be done, as a file: it can be read again by a program that takes over."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    attempt = claim.attempt
    asked = {"job": attempt.job, "attempt": attempt.number, "kind": claim.kind, "body": claim.body}
    file.write(json.dumps(asked).encode())
    file.seek(0)
    return file
