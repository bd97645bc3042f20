"""One server of the comparison: how it is started, how it is asked, what it has to answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.front.models import Model
from benchmarks.node import ROOT, CommandFailed, Node, free_port
from benchmarks.processes import descendants, resident_mb, settle, started
from registry.process import die_with_parent

PEERS = ROOT / "benchmarks" / "peers"
_STARTS_SECONDS = 120.0
_ENDS_SECONDS = 5.0
_LAST_WORDS = 2000

Start = Callable[[Path, int], AbstractContextManager[int]]


@dataclass(frozen=True)
class Goals:
    """What this server is to reach beside the other: requests a second, memory; None: no goal."""

    times: float | None = None
    times_alone: float | None = None  # at one connection; measured only where there is a goal
    cpu: float | None = None  # ours ÷ theirs, a request
    memory: float | None = None  # a worker of ours ÷ one of theirs


@dataclass(frozen=True)
class Contender:
    """A server for one model. `asked` makes a request of a sample, `said` reads its answer."""

    name: str
    model: Model
    start: Start
    path: str
    asked: Callable[[Any], Mapping[str, Any]]
    said: Callable[[Any], Sequence[float]]
    goals: Goals = field(default_factory=Goals)
    environment: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The model's name and its own."""
        return (self.model.name, self.name)

    def bodies(self, folder: Path) -> Path:
        """A file with a request a line, of different samples."""
        path = folder / f"{self.model.name}-{self.name.replace(' ', '-')}.txt"
        lines = (json.dumps(self.asked(sample)) for sample in self.model.samples)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    @contextmanager
    def running(self, home: Path) -> Iterator[Running]:
        """Start it, and wait until it answers rightly; raises CommandFailed if it does not."""
        port = free_port()
        with self.start(home, port) as pid:
            server = Running(f"http://127.0.0.1:{port}{self.path}", port, pid)
            server.check(self)
            settle(pid)
            yield server


@dataclass(frozen=True)
class Running:
    """One that runs: where it is asked, and the process whose tree serves."""

    url: str
    port: int
    pid: int

    def check(self, contender: Contender) -> None:
        """Wait for its first answer, then hold a few against what the model's own library said."""
        self._first(contender.asked(contender.model.samples[0]))
        for sample, right in zip(contender.model.samples, contender.model.right, strict=False):
            said = list(contender.said(self._ask(contender.asked(sample))))
            if wrong := differs(said, right, contender.model.tolerance):
                raise CommandFailed(f"{contender.name}, {contender.model.name}: {wrong}")

    def _first(self, body: Mapping[str, Any]) -> None:
        deadline = time.monotonic() + _STARTS_SECONDS
        while True:
            try:
                self._ask(body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if time.monotonic() > deadline or not resident_mb(self.pid):
                    raise CommandFailed(f"{self.url} does not answer: {error}") from error
                time.sleep(0.1)
            else:
                return

    def _ask(self, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - ours
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - ours
            return json.load(reply)


def differs(said: Sequence[float], right: Sequence[float], tolerance: float) -> str:
    """In what an answer is wrong; empty if every number is within `tolerance`, relatively."""
    if len(said) != len(right):
        return f"expected {len(right)} numbers, got {len(said)}"
    for number, (got, want) in enumerate(zip(said, right, strict=True)):
        if not abs(got - want) <= tolerance * max(1.0, abs(want)):
            return f"number {number}: expected {want}, got {got}"
    return ""


def baton(environ: Mapping[str, str], home: Path) -> Start:
    """This server on the home that was prepared for it, with a few settings."""

    @contextmanager
    def start(scratch: Path, port: int) -> Iterator[int]:
        node = Node(home, port=port, environ=dict(environ))
        with node.serving(log=scratch / f"baton-{port}.log") as server:
            node.ready(seconds=_STARTS_SECONDS)
            yield server.pid

    return start


def peer(
    environment: str, program: str, *arguments: str, environ: Mapping[str, str] | None = None
) -> Start:
    """A program of an environment below var/; `{port}` and `{home}` are filled in."""

    @contextmanager
    def start(scratch: Path, port: int) -> Iterator[int]:
        bin_dir = ROOT / "var" / "environments" / environment / "bin"
        words = {"port": str(port), "home": str(scratch)}
        given = {name: value.format(**words) for name, value in (environ or {}).items()}
        path = f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"
        log = scratch / f"peer-{port}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [bin_dir / program, *(one.format(**words) for one in arguments)],
                cwd=scratch,
                env={**os.environ, "PATH": path, "PYTHONPATH": str(PEERS), **given},
                stdout=sink,
                stderr=sink,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
            )
        try:
            yield process.pid
        except CommandFailed as error:
            words_of_it = log.read_text("utf-8", "replace")[-_LAST_WORDS:]
            raise CommandFailed(f"{error}\n{words_of_it}") from error
        finally:
            _end(process)

    return start


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; then end what is left of the processes it had started, by their ids."""
    below = {pid: started(pid) for pid in descendants(process.pid)}
    process.terminate()
    try:
        process.wait(timeout=_ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, since in below.items():
        if since and started(pid) == since:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
