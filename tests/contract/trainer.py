"""Trainings in processes of their own that can be killed, interrupted, or held at a step.

They are forked from a server that has imported everything, so that each costs its training alone.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from registry.settings import Settings
from tests.contract.trainings import TINY
from training.job import Job, Plan
from training.pipeline import run
from training.steps import STEPS, Step
from training.workload import Workload

PATIENCE_SECONDS = 60.0
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.contract.preloaded"])


class Tripping:
    """A run's log that calls `trip` after the first thing that is logged."""

    def __init__(self, log: Any, trip: Callable[[], None]) -> None:
        self._log, self._trip = log, trip

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._log, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._trip()
            return result

        return call


def tripping(step: Step, trip: Callable[[], None]) -> Step:
    """`step`, with `trip` in the middle of it: after its first word to MLflow, or at its end."""

    def tripped(workload: Workload, job: Job) -> None:
        step(workload, dataclasses.replace(job, run=Tripping(job.run, trip)))
        trip()

    return tripped


def iris(settings: Settings) -> Plan:
    """The smallest training there is."""
    return Plan.of("iris", settings, params=TINY["iris"])


class Trainer:
    """A process that trains iris, and says so when it is in the middle of `step`."""

    def __init__(self, settings: Settings, step: str, then: Callable[[Connection], None]) -> None:
        """`then` is what it does there."""
        self._said, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_train, args=(settings, step, then, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    def reaches(self) -> None:
        """Wait until it is there."""
        assert self._said.poll(PATIENCE_SECONDS), "it never got there"
        assert self._said.recv() == "there"

    def go_on(self) -> None:
        """Let it."""
        self._said.send("go on")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ends(self) -> int | None:
        """How it ended."""
        self.process.join(PATIENCE_SECONDS)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
        return code


def kill(said: Connection) -> None:
    """End at once: nothing is tidied up."""
    del said
    os.kill(os.getpid(), signal.SIGKILL)


def wait(said: Connection) -> None:
    """Say so, and wait to be told."""
    said.send("there")
    said.recv()


def _train(settings: Settings, step: str, then: Callable[[Connection], None], said: Any) -> None:
    """In the process: like the command, SIGTERM is taken as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run(
        iris(settings),
        settings,
        steps={**STEPS, step: tripping(STEPS[step], lambda: then(said))},
    )
