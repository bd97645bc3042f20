"""A worker: claims one job at a time, and has a process do it.

It beats once a second from here, whatever the training does. It ends the process when the job is
cancelled or no longer its own, and tells it that it may register after a beat that says so. Jobs of
workers that fell silent it puts back into the queue. When it is told to stop it gives its job back.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from registry.errors import Unreachable
from registry.jobs import (
    Attempt,
    Claim,
    JobQueue,
    JobState,
    Outcome,
    Progress,
    Standing,
)
from registry.process import die_with_parent
from training.jobs.child import Child
from training.jobs.silence import Silence

_log = logging.getLogger(__name__)
BEAT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.5
_LISTEN_SECONDS: Final = 0.1
_CLOSING_SECONDS: Final = 15.0


class Process(Protocol):
    """What a worker needs of a job's process; see `Child`."""

    seen: Progress
    told: Outcome | None
    asks: bool
    exit_code: int | None

    def listen(self, seconds: float) -> None:
        """Hear what it says."""

    def go(self) -> None:
        """Let it do what it asked for."""

    def end(self, now: float) -> None:
        """Ask it to end."""

    def insist(self, now: float) -> None:
        """Kill it, once its time is over."""

    def close(self) -> None:
        """Let go of it."""


class Closings:
    """Processes that mark the runs of killed jobs: MLflow takes too long to load it here."""

    def __init__(self) -> None:
        """None yet."""
        self._running: list[subprocess.Popen[bytes]] = []

    def close(self, run_id: str, status: str) -> None:
        """Begin to mark a run that is still open as KILLED or FAILED."""
        self._running = [one for one in self._running if one.poll() is None]
        command = [sys.executable, "-m", "training", "end-run", run_id, status]
        prepare = partial(die_with_parent, parent=os.getpid())
        self._running.append(
            subprocess.Popen(command, preexec_fn=prepare)  # noqa: S603, PLW1509 - as of children
        )

    def wait(self) -> None:
        """Until all are marked, or it has taken too long."""
        deadline = time.monotonic() + _CLOSING_SECONDS
        for one in self._running:
            try:
                one.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


@dataclass
class Held:
    """The job that this worker does; `ending` is why its process was told to end."""

    attempt: Attempt
    process: Process
    beat_at: float
    ending: Standing | None = None


class Worker:
    """See the module. Everything happens on the thread that calls `run`."""

    def __init__(
        self,
        queue: JobQueue,
        *,
        most_running: int,
        start: Callable[[Claim], Process] = Child,
        closings: Closings | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of one owner, `most_running` jobs may run at once, here or elsewhere."""
        self.name = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(2)}"
        self._queue = queue
        self._most_running = most_running
        self._start = start
        self._closings = closings or Closings()
        self._monotonic = monotonic
        self._silence = Silence()
        self._held: Held | None = None
        self._look_at = 0.0
        self._is_away = False

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then give back what is not done."""
        _log.info("worker %s", self.name)
        while not stop.is_set():
            self.turn()
            if self._held is None:
                stop.wait(max(0.0, self._look_at - self._monotonic()))
            elif self._held.process.exit_code is None:
                self._held.process.listen(_LISTEN_SECONDS)
            else:  # the queue could not be told
                stop.wait(POLL_SECONDS)
        self._leave()
        self._closings.wait()

    def turn(self) -> None:
        """Do what is due by now."""
        now = self._monotonic()
        try:
            if self._held:
                self._attend(self._held, now)
            if now >= self._look_at:
                self._look_at = now + POLL_SECONDS
                self._look(now)
                self._is_away = False
        except Unreachable as error:
            if not self._is_away:
                _log.warning("%s; trying again", error)
            self._is_away = True
            self._look_at = now + POLL_SECONDS

    def _attend(self, held: Held, now: float) -> None:
        """Beat, and do as the answer says."""
        process = held.process
        if process.exit_code is not None:
            self._conclude(held)
            return
        process.insist(now)
        if now < held.beat_at:
            return
        held.beat_at = now + BEAT_SECONDS
        asked = process.asks
        standing = self._queue.beat(held.attempt, process.seen)
        if standing is not Standing.MINE:
            held.ending = standing
            process.end(now)
        elif asked:
            process.go()

    def _look(self, now: float) -> None:
        """Take jobs from who is silent, and take one up if there is room."""
        look = self._queue.look()
        own = self._held.attempt.job if self._held else None
        others = {job: pulse for job, pulse in look.running.items() if job != own}
        for job, pulse in self._silence.look(others, now).items():
            taken = self._queue.take_from_silent(job, pulse)
            if taken is None:
                continue
            _log.warning("job %s: %s; now %s", job, taken.outcome.reason, taken.state)
            if taken.seen.run_id:
                failed = taken.state is JobState.FAILED
                self._closings.close(taken.seen.run_id, "FAILED" if failed else "KILLED")
        if self._held is None and look.queued:
            self._claim(now)

    def _claim(self, now: float) -> None:
        claim = self._queue.claim(self.name, most_running=self._most_running)
        if claim is None:
            return
        attempt = claim.attempt
        _log.info("job %s (%s), attempt %s", attempt.job, claim.kind, attempt.number)
        try:
            process = self._start(claim)
        except OSError as error:
            reason = f"its process could not be started: {error}"
            failed = Outcome(state=JobState.FAILED, reason=reason)
            self._queue.finish(attempt, Progress(), failed)
            return
        self._held = Held(attempt, process, beat_at=now + BEAT_SECONDS)

    def _conclude(self, held: Held) -> None:
        """Say how it ended, if it is still ours to say."""
        outcome = _outcome(held)
        if held.ending is Standing.LOST:
            _log.warning("job %s: another worker has it", held.attempt.job)
        elif self._queue.finish(held.attempt, held.process.seen, outcome):
            _log.info("job %s: %s", held.attempt.job, outcome.state)
        self._let_go(held, "KILLED" if outcome.state is JobState.CANCELLED else "FAILED")

    def _let_go(self, held: Held, status: str) -> None:
        """Be without a job; a process that was killed could not mark its run."""
        self._held = None
        held.process.close()
        code, run_id = held.process.exit_code, held.process.seen.run_id
        if code is not None and code < 0 and run_id and held.ending is not Standing.LOST:
            self._closings.close(run_id, status)

    def _leave(self) -> None:
        """End the process, and give the job back: nobody has to wait until we look silent."""
        held = self._held
        if held is None:
            return
        held.process.end(self._monotonic())
        while held.process.exit_code is None:
            held.process.listen(_LISTEN_SECONDS)
            held.process.insist(self._monotonic())
        try:
            if held.process.told or held.ending:
                self._conclude(held)
            else:
                self._queue.give_back(held.attempt)
                self._let_go(held, "KILLED")
        except Unreachable as error:
            _log.warning("job %s could not be given back: %s", held.attempt.job, error)


def _outcome(held: Held) -> Outcome:
    """What a process has come to that has ended."""
    told = held.process.told
    if told and told.state is JobState.FINISHED:
        return told  # whatever came too late for it
    if held.ending is Standing.CANCELLED:
        return Outcome(state=JobState.CANCELLED)
    if told:
        return told
    code = held.process.exit_code or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    where = held.process.seen.step or "none yet"
    return Outcome(state=JobState.FAILED, reason=f"its process {how}, step {where}")
