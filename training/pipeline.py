"""The pipeline: load → validate → split → fit → evaluate → package → register, in one MLflow run.

A step that fails marks the run FAILED with its name in the tag `baton.failed_step`, and nothing is
registered. Called by the command line and by whoever trains from Python:

    run(Plan.of("iris", settings), settings)
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from registry.errors import BatonError, StepFailed, Unreachable
from registry.settings import Settings
from training import apart, environment
from training.incumbent import Incumbent, ServedIncumbent
from training.job import Job, Plan
from training.steps import STEPS, Step
from training.tracked_run import TrackedRun
from training.tracking import MODEL, Tracking
from training.workload import Workload
from training.workloads import get
from training.workspace import Workspace

LAST_TRAINED = "last_trained.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run and the version it registered."""

    workload: str
    model: str
    version: int
    run_id: str
    experiment: str
    series: str
    source: str
    verdict: str
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    current: Mapping[str, Any] | None
    seconds: float
    artifacts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json`."""
        return dataclasses.asdict(self)


def run(
    plan: Plan,
    settings: Settings,
    *,
    incumbent: Incumbent | None = None,
    on_step: Callable[[str], None] = lambda _: None,
    steps: Mapping[str, Step] = STEPS,
    tags: Mapping[str, str] | None = None,
) -> Trained:
    """Train as planned; `on_step` is told each step's name before it begins.

    `tags` are put on the run besides those that every run carries.
    Raises StepFailed (DataInvalid), Unreachable, or UsageError before the run exists.
    """
    began = time.monotonic()
    workload = get(plan.workload, configuration=plan.configuration)
    apart.require(workload.about)
    tracked = TrackedRun.start(
        Tracking(settings),
        plan.experiment,
        run_name=workload.about.run_name,
        tags={**_tags(plan, settings), **(tags or {})},
    )
    job = Job(
        plan=plan,
        workspace=Workspace(settings.home / "runs" / tracked.run_id),
        run=tracked,
        incumbent=incumbent or ServedIncumbent.of(settings),
    )
    with _closing(tracked):
        _describe(job)
        for name, step in steps.items():
            on_step(name)
            _run_step(name, step, workload, job)
        trained = _trained(job, seconds=time.monotonic() - began)
    _remember(settings, trained)
    job.workspace.remove()
    return trained


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


def _describe(job: Job) -> None:
    """Say what the run was asked for and what it is made with."""
    job.workspace.write("plan.json", job.plan.to_json())
    job.workspace.write("artifacts/dependencies.json", environment.dependencies())
    job.workspace.write("artifacts/hardware.json", environment.hardware())
    job.run.log_artifacts(job.workspace.artifacts)


def _run_step(name: str, step: Step, workload: Workload, job: Job) -> None:
    """Run one step; anything it did not raise on purpose becomes a StepFailed with its name."""
    try:
        step(workload, job)
    except BaseException as error:
        _tag_failure(job, name, error)
        if isinstance(error, BatonError) or not isinstance(error, Exception):
            raise
        raise StepFailed(f"step {name}: {type(error).__name__}: {error}") from error


def _tag_failure(job: Job, step: str, error: BaseException) -> None:
    """Say on the run which step failed and why, if MLflow can still be told."""
    try:
        job.run.set_tags(
            {"baton.failed_step": step, "baton.error": f"{type(error).__name__}: {error}"}
        )
    except BatonError as unreachable:
        _log.warning("step %s failed and the run could not be told: %s", step, unreachable)


@contextmanager
def _closing(run: TrackedRun) -> Iterator[None]:
    """End the run as FINISHED, FAILED or, for a person's interruption, KILLED."""
    try:
        yield
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        try:
            run.finish(status)
        except (Unreachable, StepFailed) as unreachable:
            _log.warning("run %s could not be marked %s: %s", run.run_id, status, unreachable)
        raise
    run.finish("FINISHED")


def _trained(job: Job, *, seconds: float) -> Trained:
    """What there is to say after the last step."""
    evaluation = job.workspace.read("evaluation.json")
    return Trained(
        workload=job.plan.workload,
        model=job.plan.model,
        version=job.workspace.read("registered.json")["version"],
        run_id=job.run.run_id,
        experiment=job.plan.experiment,
        series=evaluation["series"],
        source=evaluation["source"],
        verdict=job.workspace.read("verdict.json")["verdict"],
        metrics=evaluation["metrics"],
        baselines=evaluation["baselines"],
        current=evaluation["current"],
        seconds=round(seconds, 2),
        artifacts=_artifacts(job.workspace),
    )


def _artifacts(workspace: Workspace) -> tuple[str, ...]:
    """Every file the run shows, sorted."""
    below = {"": workspace.artifacts, f"{MODEL}/": workspace.bundle}
    return tuple(
        sorted(
            prefix + str(path.relative_to(folder))
            for prefix, folder in below.items()
            for path in folder.rglob("*")
            if path.is_file()
        )
    )


def _remember(settings: Settings, trained: Trained) -> None:
    """Keep what was trained last here, so that `make promote` alone can promote it."""
    last = {"model": trained.model, "version": trained.version, "run_id": trained.run_id}
    Workspace(settings.home).write(LAST_TRAINED, last)
