"""The pipeline: load → validate → split → fit → evaluate → package → register, one MLflow run.

A step that fails marks the run FAILED with its name in the tag `baton.failed_step`, and nothing is
registered. Called by the command line and by whoever trains from Python:

    run(Plan.of("iris", settings), settings)

or, one process a step, by `begin` and then `take` for each; `resume` goes on with a run from
wherever it stopped, however it did. What one process hands to the next is the run's workspace and
nothing else, and only one at a time works on a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from registry.errors import UsageError
from registry.settings import Settings
from training import apart
from training.attempt import Attempt
from training.incumbent import Incumbent
from training.job import Plan
from training.progress import Progress
from training.steps import STEPS, Step
from training.tracked_run import TrackedRun
from training.tracking import Tracking
from training.trained import Trained
from training.workloads import get
from training.workspace import Workspace

OnStep = Callable[[str], None]


def run(
    plan: Plan,
    settings: Settings,
    *,
    incumbent: Incumbent | None = None,
    on_step: OnStep = lambda _: None,
    steps: Mapping[str, Step] = STEPS,
    tags: Mapping[str, str] | None = None,
) -> Trained:
    """Train as planned; `on_step` is told each step's name before it begins.

    `tags` are put on the run besides those that every run carries.
    Raises StepFailed (DataInvalid), Unreachable, or UsageError before the run exists.
    """
    _require(plan)
    attempt = Attempt.new(
        plan, settings, tags=tags or {}, steps=steps, incumbent=incumbent, on_step=on_step
    )
    with attempt.marking():
        attempt.job.workspace.made()
    return _rest(attempt, settings, first=attempt.describe)


def begin(plan: Plan, settings: Settings, *, tags: Mapping[str, str] | None = None) -> str:
    """Make the run and its workspace, and do no step yet; the run's id. Raises as `run` does."""
    _require(plan)
    attempt = Attempt.new(plan, settings, tags=tags or {}, steps=STEPS)
    with attempt.marking(), attempt.job.workspace.made().held():
        attempt.describe()
    return attempt.run.run_id


def resume(
    run_id: str,
    settings: Settings,
    *,
    incumbent: Incumbent | None = None,
    on_step: OnStep = lambda _: None,
    steps: Mapping[str, Step] = STEPS,
) -> Trained:
    """Do what is left of a run, in that run; nothing is registered twice.

    Raises UsageError if nothing is left, or if another process works on it; else as `run` does.
    """
    attempt = _again(run_id, settings, incumbent=incumbent, on_step=on_step, steps=steps)
    return _rest(attempt, settings, first=attempt.reopen)


def take(
    step: str,
    run_id: str,
    settings: Settings,
    *,
    incumbent: Incumbent | None = None,
    steps: Mapping[str, Step] = STEPS,
) -> Trained | None:
    """Do one step of a run that was begun; what the run has come to, if it was the last.

    A step may be done again; those after it then have to be, too. Raises UsageError for a step
    whose turn has not come; else as `resume` does.
    """
    attempt = _again(run_id, settings, incumbent=incumbent, steps=steps)
    files = attempt.job.workspace
    with files.held():
        Progress.read(files).before(step)
        with attempt.marking():
            attempt.reopen()
            attempt.go_on([step])
            trained = None if Progress.read(files).left else attempt.finish()
        return trained and _leave(attempt, trained, settings)


def finished(run_id: str, settings: Settings) -> bool:
    """Whether a run has been through all its steps."""
    if Workspace.of(settings, run_id).has("progress.json"):
        return False
    return TrackedRun.open(Tracking(settings), run_id).status() == "FINISHED"


def planned(run_id: str, settings: Settings) -> Plan:
    """What a run in progress was asked for; raises UsageError if nothing is in progress."""
    workspace = Workspace.of(settings, run_id)
    if not workspace.has("progress.json"):
        raise _not_in_progress(run_id, settings)
    return Plan.from_json(workspace.read("plan.json"))


def _require(plan: Plan) -> None:
    """Refuse a workload whose libraries are not here."""
    apart.require(get(plan.workload, configuration=plan.configuration).about)


def _again(
    run_id: str,
    settings: Settings,
    *,
    steps: Mapping[str, Step],
    incumbent: Incumbent | None,
    on_step: OnStep = lambda _: None,
) -> Attempt:
    """Another attempt at a run in progress."""
    plan = planned(run_id, settings)
    _require(plan)
    run = TrackedRun.open(Tracking(settings), run_id)
    return Attempt.of(run, plan, settings, steps=steps, incumbent=incumbent, on_step=on_step)


def _rest(attempt: Attempt, settings: Settings, *, first: Callable[[], None]) -> Trained:
    """Do what comes first, then what is left of the run, and finish it."""
    with attempt.job.workspace.held():
        with attempt.marking():
            first()
            attempt.go_on(Progress.read(attempt.job.workspace).left)
            trained = attempt.finish()
        return _leave(attempt, trained, settings)


def _leave(attempt: Attempt, trained: Trained, settings: Settings) -> Trained:
    """Keep of a finished run only what it has come to."""
    trained.remember(settings)
    attempt.job.workspace.remove()
    return trained


def _not_in_progress(run_id: str, settings: Settings) -> UsageError:
    """Why a run cannot be gone on with: it is finished, or its workspace is not on this machine."""
    status = TrackedRun.open(Tracking(settings), run_id).status()
    if status == "FINISHED":
        return UsageError(f"run {run_id}: {status}; nothing is left to be done")
    runs = settings.home / "runs"
    there = sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []
    return UsageError(
        f"run {run_id}: {status}, and its workspace is not in {runs}, where there is: "
        f"{', '.join(there) or 'none'}; train again"
    )
