"""One process's work on a run: steps done one after the other, and what MLflow is told of them.

Made by the pipeline. It keeps the run's status true: FAILED with the step's name, KILLED for a
person's interruption, FINISHED after the last step. Where MLflow cannot be told, the workspace
still knows how far the run has come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from registry.errors import BatonError, StepFailed
from registry.settings import Settings
from training import environment
from training.incumbent import Incumbent, ServedIncumbent
from training.job import Job, Plan
from training.progress import Progress
from training.steps import Step
from training.tracked_run import TrackedRun
from training.tracking import Tracking
from training.trained import Trained
from training.workload import Workload
from training.workloads import get
from training.workspace import Workspace

_BEGINNING = "begin"
_DIRTY = "git_dirty"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Work on the run of `job`; `on_step` is told each step's name before it begins."""

    job: Job
    run: TrackedRun
    workload: Workload
    steps: Mapping[str, Step]
    on_step: Callable[[str], None]

    @classmethod
    def of(
        cls,
        run: TrackedRun,
        plan: Plan,
        settings: Settings,
        *,
        steps: Mapping[str, Step],
        incumbent: Incumbent | None = None,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Work on `run` as planned."""
        return cls(
            job=Job(
                plan=plan,
                workspace=Workspace.of(settings, run.run_id),
                run=run,
                incumbent=incumbent or ServedIncumbent.of(settings),
            ),
            run=run,
            workload=get(plan.workload, configuration=plan.configuration),
            steps=steps,
            on_step=on_step,
        )

    @classmethod
    def new(
        cls,
        plan: Plan,
        settings: Settings,
        *,
        tags: Mapping[str, str],
        steps: Mapping[str, Step],
        incumbent: Incumbent | None = None,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Make a run for a plan; raises Unreachable or UsageError."""
        about = get(plan.workload, configuration=plan.configuration).about
        own = {"baton.primary": about.primary, **_tags(plan, settings), **tags}
        run = TrackedRun.start(
            Tracking(settings), plan.experiment, run_name=about.run_name, tags=own
        )
        return cls.of(run, plan, settings, steps=steps, incumbent=incumbent, on_step=on_step)

    def describe(self) -> None:
        """Say what the run was asked for and what it is made with."""
        files = self.job.workspace
        with self._named(_BEGINNING):
            for name in ("plan.json", "artifacts/plan.json"):
                files.write(name, self.job.plan.to_json())
            files.write("artifacts/dependencies.json", environment.dependencies())
            files.write("artifacts/hardware.json", environment.hardware())
            Progress.of(self.steps).keep(files)
            self.run.log_artifacts(files.artifacts)

    def reopen(self) -> None:
        """Say that somebody works on the run; and if by other code than its commit has."""
        tags, code = self.run.reopen(), environment.code()
        if tags.get(_DIRTY) == "false" and code != {name: tags.get(name) for name in code}:
            self.run.set_tags({_DIRTY: "true"})

    def go_on(self, names: Iterable[str]) -> None:
        """Do these steps; what one did not raise on purpose is a StepFailed with its name."""
        for name in names:
            self.on_step(name)
            with self._named(name):
                self._do(name)

    def finish(self) -> Trained:
        """Mark the run FINISHED; what it has come to."""
        progress = Progress.read(self.job.workspace)
        trained = Trained.of(
            self.job, registers="register" in progress.steps, seconds=progress.seconds
        )
        self.run.finish("FINISHED")
        return trained

    @contextmanager
    def marking(self) -> Iterator[None]:
        """End the run as FAILED, or for a person's interruption KILLED, if this is left so."""
        try:
            yield
        except BaseException as error:
            for note in self._end("FAILED" if isinstance(error, Exception) else "KILLED"):
                error.add_note(note)
            raise

    def _end(self, status: str) -> Iterator[str]:
        """Mark the run, if MLflow can still be told; what there is to say about it."""
        run_id = self.run.run_id
        try:
            if status == "KILLED" and self.run.registered():
                status = "FINISHED"  # the interruption came too late
            self.run.finish(status)
            yield f"run {run_id} is {status}"
        except BatonError as error:
            _log.warning("run %s could not be marked %s: %s", run_id, status, error)
        if self.job.workspace.has("progress.json"):
            yield f"to go on with it: python -m training resume {run_id}"

    def _do(self, name: str) -> None:
        """One step, and the progress before and after it."""
        files, began = self.job.workspace, time.monotonic()
        progress = Progress.read(files).before(name)
        progress.keep(files)
        self.steps[name](self.workload, self.job)
        progress.after(name, time.monotonic() - began).keep(files)

    @contextmanager
    def _named(self, step: str) -> Iterator[None]:
        """Say on the run which step failed; a fault that nobody raised on purpose is its."""
        try:
            yield
        except BaseException as error:
            self._fail(step, f"{type(error).__name__}: {error}")
            if isinstance(error, BatonError) or not isinstance(error, Exception):
                raise
            raise StepFailed(f"step {step}: {type(error).__name__}: {error}") from error

    def _fail(self, step: str, why: str) -> None:
        """Say it, if MLflow can still be told."""
        try:
            self.run.fail(step, why)
        except BatonError as unreachable:
            _log.warning("step %s failed and the run could not be told: %s", step, unreachable)


def _tags(plan: Plan, settings: Settings) -> dict[str, str]:
    """What every run carries from its first moment."""
    return {
        "environment": settings.environment,
        "data_source": plan.source,
        "ticker": plan.series,
        "baton.workload": plan.workload,
        "baton.model": plan.model,
        **environment.code(),
    }
