"""`python -m serving.runner.host`: keeps one runner for each version of this node that is code.

Started by `python -m serving` where `BATON_ENGINES` names `runner`. It follows the page and the
assignments file as workers do: a version that is named gets a process, one that ended is started
again with growing pauses, one that is no longer named is ended when no request can be left in it.
All of them end with this process, and it with its parent.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from registry import log
from registry.bundle import Bundle
from registry.errors import BundleInvalid
from registry.process import bare_environment, die_with_parent
from registry.settings import Settings
from registry.stop import Stop
from serving import metrics
from serving.assignments import Assignments, Held
from serving.engines.runner import failed, socket_of
from serving.page import Page
from serving.stored import manifest_of, root_of

_log = logging.getLogger("serving.runners")
_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = (sys.executable, "-W", "ignore", "-m", "serving.runner")
_LOOK_SECONDS = 0.02
_BACKGROUND = 10  # what is not needed yet loads without taking time from the requests beside it
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_PROVEN_SECONDS = 30.0
# One thread a call, as the other engines have.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Process(Protocol):
    """What the host needs of a process it started."""

    def poll(self) -> int | None:
        """Its exit code, once it ended."""

    def kill(self) -> None:
        """End it."""

    def wait(self) -> int:
        """Wait for its end."""


@dataclass(frozen=True)
class Wanted:
    """A version that is named: whose, and whether another one of its model answers meanwhile."""

    model: str
    is_new: bool = False


@dataclass
class Runner:
    """One version's process, or the pause before its next one."""

    model: str
    process: Process
    started_at: float
    pause: float = _FIRST_PAUSE_SECONDS
    ended_at: float | None = None
    unnamed_at: float | None = None


@dataclass
class Host:
    """One pass is `step(named, now)`; times are seconds of one monotonic clock."""

    start: Callable[[str, int], Process]
    ended: Callable[[str, int], None]
    forget: Callable[[str], None]
    grace_seconds: float
    runners: dict[str, Runner] = field(default_factory=dict)

    def step(self, named: Mapping[str, Wanted], now: float) -> None:
        """Have one runner for each digest in `named`, and in time no other."""
        for digest, wanted in named.items():
            if digest not in self.runners:
                process = self.start(digest, _BACKGROUND if wanted.is_new else 0)
                self.runners[digest] = Runner(wanted.model, process, now)
            self.runners[digest].unnamed_at = None
        for digest, runner in list(self.runners.items()):
            if digest not in named:
                self._retire(digest, runner, now)
            else:
                self._keep(digest, runner, now)

    def close(self) -> None:
        """End all."""
        for digest in list(self.runners):
            self._end(digest)

    def _keep(self, digest: str, runner: Runner, now: float) -> None:
        """Start a runner that ended again, later each time unless it had run for a while."""
        if runner.ended_at is None:
            code = runner.process.poll()
            if code is None:
                return
            proven = now - runner.started_at > _PROVEN_SECONDS
            runner.pause = _FIRST_PAUSE_SECONDS if proven else runner.pause
            runner.ended_at = now
            self.ended(digest, code)
            _log.error("the runner of %s (%s) ended: exit %s", runner.model, digest[:12], code)
        if now - runner.ended_at >= runner.pause:
            metrics.RUNNER_RESTARTS.labels(runner.model).inc()
            runner.process, runner.started_at = self.start(digest, 0), now
            runner.pause = min(2 * runner.pause, _LONGEST_PAUSE_SECONDS)
            runner.ended_at = None

    def _retire(self, digest: str, runner: Runner, now: float) -> None:
        """End a runner once the longest request begun before it was unnamed must be over."""
        if runner.unnamed_at is None:
            runner.unnamed_at = now
        is_over = now - runner.unnamed_at >= self.grace_seconds
        if is_over or runner.process.poll() is not None:
            self._end(digest)

    def _end(self, digest: str) -> None:
        runner = self.runners.pop(digest)
        runner.process.kill()
        runner.process.wait()
        self.forget(digest)
        _log.info("the runner of %s (%s) is no longer needed", runner.model, digest[:12])


@dataclass
class Children:
    """Starts runners as processes, and keeps the files beside their sockets."""

    settings: Settings

    def start(self, digest: str, niceness: int) -> Process:
        """Start one that loads with so much niceness; its socket appears when it has loaded."""
        settings = self.settings
        path = socket_of(settings.node_dir, digest)
        failed(path).unlink(missing_ok=True)
        given = {
            "--socket": path,
            "--memory-mb": settings.runner_memory_mb,
            "--seconds": settings.runner_seconds,
            "--load-seconds": settings.ready_seconds,
            "--batch-rows": settings.runner_batch_rows,
            "--niceness": niceness,
        }
        options = [str(part) for pair in given.items() for part in pair]
        return subprocess.Popen(  # noqa: S603 - our own module, no shell
            [*_COMMAND, str(settings.store_dir), digest, *options],
            cwd=_ROOT,
            env={**_ONE_THREAD, **bare_environment()},
            stdin=subprocess.DEVNULL,
        )

    def ended(self, digest: str, code: int) -> None:
        """Tell the workers that wait for one that never listened; nobody listens any more."""
        path = socket_of(self.settings.node_dir, digest)
        if not path.exists() and not failed(path).exists():
            failed(path).write_text(f"it {_how(code)} while it loaded", encoding="utf-8")
        path.unlink(missing_ok=True)

    def forget(self, digest: str) -> None:
        """Leave nothing of one that is no longer needed."""
        path = socket_of(self.settings.node_dir, digest)
        path.unlink(missing_ok=True)
        failed(path).unlink(missing_ok=True)


class Named:
    """Which versions need a runner, by the assignments file; read when the page says so."""

    def __init__(self, settings: Settings, page: Page) -> None:
        """Nothing is named before the first look."""
        self._settings = settings
        self._page = page
        self._assignments = Assignments(settings.assignments_path)
        self._announced = -1
        self._seen: dict[int, int] = {}
        self._held: dict[int, tuple[str, Held]] = {}
        self._engines: dict[str, str] = {}
        self._named: dict[str, Wanted] = {}

    def look(self) -> Mapping[str, Wanted]:
        """By digest, every version that a worker has to have and only a runner can run."""
        announced = self._page.announced
        if announced != self._announced:
            for index, number in enumerate(self._page.changes()):
                if number != self._seen.get(index, 0):
                    self._read(index)
                    self._seen[index] = number
            wanted = {
                a.digest: Wanted(name, held.preparing is not None and a in held.preparing.versions)
                for name, held in self._held.values()
                for a in held
            }
            self._engines = {digest: self._engine(digest) for digest in wanted}
            self._named = {d: w for d, w in wanted.items() if self._engines[d] == "runner"}
            self._announced = announced
        return self._named

    def _read(self, index: int) -> None:
        self._held.pop(index, None)
        if found := self._assignments.read(index):
            self._held[index] = found

    def _engine(self, digest: str) -> str:
        """The engine of a stored version; empty if it is not (whole) there."""
        if known := self._engines.get(digest):
            return known
        store = self._settings.store_dir
        try:
            return Bundle.open(root_of(store, digest), kind=manifest_of(store, digest).kind).engine
        except BundleInvalid as error:
            _log.warning("%s", error)
            return ""


def main() -> None:
    """Keep this node's runners until it is told to stop or its parent ends."""
    die_with_parent()
    settings = Settings.read()
    log.to_json(settings.log_level)
    stop = Stop.on(signal.SIGTERM, signal.SIGINT)
    folder = socket_of(settings.node_dir, "").parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    children = Children(settings)
    grace = settings.runner_seconds
    host = Host(children.start, children.ended, children.forget, grace_seconds=grace)
    with Page(settings.page_path) as page:
        named = Named(settings, page)
        while not stop.wait(_LOOK_SECONDS):
            host.step(named.look(), time.monotonic())
    host.close()


def _how(code: int) -> str:
    if code == -signal.SIGALRM:
        return "took too long (BATON_READY_SECONDS)"
    return f"crashed (signal {-code})" if code < 0 else f"ended (exit {code})"


if __name__ == "__main__":
    main()
