"""The process that scores: `python -m serving.batch`, told what to do line by line.

It stays for many partitions, so that a version is loaded once. Nothing of a version is loaded in
this process, and the other one sees no secret and no address.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.errors import StepFailed
from registry.process import bare_environment
from training.crew import ONE_THREAD

MODULE = "serving.batch"
_ROOT = Path(__file__).resolve().parents[2]
_LAST_WORDS = 400


class ChildLost(StepFailed):
    """The process ended before it had answered."""


class Child:
    """One such process. Not for several threads at once."""

    def __init__(self, directory: Path, *, module: str = MODULE) -> None:
        """Start it on the versions in `directory`; raises ChildLost if it cannot."""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", module, str(directory)],
            cwd=_ROOT,
            env={**ONE_THREAD, **bare_environment(), **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        self._answer()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to one order; raises ChildLost."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise self._lost() from error
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what it was to be told last
                    continue

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._lost()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _lost(self) -> ChildLost:
        code = self._process.wait()
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - _LAST_WORDS))
        words = self._said.read().decode(errors="replace").strip() or "no last words"
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        return ChildLost(f"the process that scores ended ({how}): {words}")
