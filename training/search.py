"""A search for parameters: trials inside the training part, then one training with the best.

Each trial is judged by the workload's own folds (`validated`); the hold-out is never touched, so
that what the version is measured on in the end has chosen nothing. The first trial is the
parameters as they are. In MLflow, the trials and the final training are runs below one run of the
study, and a study that was stopped is gone on with by its name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from registry.errors import StepFailed, UsageError
from registry.settings import Settings
from training import apart, plots
from training.incumbent import ServedIncumbent
from training.job import Job, Plan
from training.parameter import Parameter, Range, Value, Values
from training.pipeline import run
from training.steps.fit import seed_everything
from training.steps.load import load
from training.steps.split import split
from training.steps.validate import validate
from training.study import SUFFIX, OnTrial, Study
from training.tracked_run import PARENT, TrackedRun
from training.tracking import Tracking
from training.trained import Trained
from training.workload import Searchable, Workload
from training.workloads import get
from training.workspace import Workspace

FOLDER = "searches"
_STUDY = "baton.search"


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A finished search, and the version that was trained with the best of its trials.

    `default` is the objective of the parameters as they were, None if that trial failed.
    """

    study: str
    run_id: str
    objective: str
    trials: int
    failed: int
    default: float | None
    best: float
    params: Values
    trained: Trained

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json`."""
        return dataclasses.asdict(self)


def search(
    plan: Plan,
    settings: Settings,
    *,
    study: str,
    trials: int,
    fixed: Collection[str] = (),
    seconds: float | None = None,
    on_trial: OnTrial = lambda *_: None,
) -> Searched:
    """Try until there were `trials` in all, then train as planned with the best.

    Parameters in `fixed` stay as the plan has them. After `seconds` no trial is begun any more.
    `on_trial` is told each trial's number and value. Raises UsageError, before anything is made,
    where there is nothing to search; StepFailed if no trial succeeded; else as `pipeline.run`.
    """
    workload = get(plan.workload, configuration=plan.configuration)
    apart.require(workload.about)
    free = _free(workload, plan, fixed)
    tracking = Tracking(settings)
    kept = Study.open(
        settings.home / FOLDER / f"{study}{SUFFIX}",
        free,
        greater_is_better=workload.about.greater_is_better,
        seed=plan.seed,
    )
    job = _job(kept, plan, settings, tracking)
    with cast("TrackedRun", job.run).ending():
        for step in (load, validate, split):
            step(workload, job)
        kept.agree(_asked(plan, job, free))
        judged = _Judged(cast("Searchable", workload), job, tracking, study)
        kept.optimise(judged, plan.params, trials=trials, seconds=seconds, on_trial=on_trial)
        value, best = kept.best
        _report(kept, job, judged.objective)
        trained = run(
            dataclasses.replace(plan, params={**plan.params, **best}),
            settings,
            tags={PARENT: job.run.run_id, _STUDY: study},
        )
    job.workspace.remove()
    return Searched(
        study=study,
        run_id=job.run.run_id,
        objective=judged.objective,
        trials=kept.trials,
        failed=kept.failed,
        default=kept.values.get(0),
        best=value,
        params=best,
        trained=trained,
    )


def unused(home: Path, model: str) -> str:
    """A name for a study that was given none: the model's, with the first number that is free."""
    taken = {path.name.removesuffix(SUFFIX) for path in (home / FOLDER).glob(f"*{SUFFIX}")}
    numbered = (f"{model}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def _free(workload: Workload, plan: Plan, fixed: Collection[str]) -> tuple[Parameter, ...]:
    """The parameters to search; raises UsageError where there are none, or no way to judge."""
    about = workload.about
    if not hasattr(workload, "validated"):
        raise UsageError(
            f"workload {about.name}: cannot be searched, it has no folds to judge a trial by "
            "(the hook `validated` of training/workload.py)"
        )
    named = [p for p in about.parameters if p.search is not None]
    free = tuple(p for p in named if p.name not in fixed)
    if not free:
        why = "none is meant to be" if not named else "all that could be are given"
        raise UsageError(f"workload {about.name}: no parameter to search: {why}")
    for one in free:
        start, allowed = plan.params[one.name], one.search
        if isinstance(allowed, Range) and not allowed.low <= float(start) <= allowed.high:
            raise UsageError(
                f"{one.name}: the search goes from {allowed.low:g} to {allowed.high:g} and begins "
                f"with {start}"
            )
    return free


def _job(kept: Study, plan: Plan, settings: Settings, tracking: Tracking) -> Job:
    """What the steps work with: the study's run, the one it has or a new one, and its folder."""
    if kept.run_id is not None:
        parent = TrackedRun.open(tracking, kept.run_id)
        parent.reopen()
    else:
        tags = {
            "environment": settings.environment,
            "baton.workload": plan.workload,
            "baton.model": plan.model,
            _STUDY: kept.name,
        }
        name = f"search {kept.name}"
        parent = TrackedRun.start(tracking, plan.experiment, run_name=name, tags=tags)
        kept.belongs_to(parent.run_id)
    return Job(
        plan=plan,
        workspace=Workspace(settings.home / "runs" / parent.run_id),
        run=parent,
        incumbent=ServedIncumbent.of(settings),
    )


def _asked(plan: Plan, job: Job, free: Collection[Parameter]) -> Mapping[str, Any]:
    """All that must be the same for two trials to compare."""
    searched = {p.name for p in free}
    return {
        "workload": plan.workload,
        "data": job.workspace.dataset().fingerprint,
        "seed": plan.seed,
        "searched": sorted(searched),
        "others": {k: v for k, v in sorted(plan.params.items()) if k not in searched},
    }


@dataclass(frozen=True)
class _Judged:
    """Judges proposals, each in a run of its own below the study's."""

    workload: Searchable
    job: Job
    tracking: Tracking
    study: str

    @property
    def objective(self) -> str:
        """The metric that decides."""
        return self.workload.objective

    def __call__(self, number: int, proposed: Mapping[str, Value]) -> float:
        """The objective; raises StepFailed if the parameters cannot be judged."""
        plan = self.job.plan
        child = TrackedRun.start(
            self.tracking,
            plan.experiment,
            run_name=f"trial {number}",
            tags={
                PARENT: self.job.run.run_id,
                _STUDY: self.study,
                "baton.workload": plan.workload,
            },
        )
        params = {**plan.params, **proposed}
        with child.ending():
            child.log_params({**params, "seed": plan.seed})
            found = self._folds(params)
            child.log_metrics(found)
        return found[self.objective]

    def _folds(self, params: Values) -> Mapping[str, float]:
        """The workload's metrics over its folds."""
        seed = self.job.plan.seed
        seed_everything(seed)
        try:
            found = self.workload.validated(self.job.workspace.frame("train"), params, seed=seed)
        except (ValueError, ArithmeticError, RuntimeError) as error:
            raise StepFailed(f"trial: {type(error).__name__}: {error}") from error
        if self.objective not in found:
            raise UsageError(f"{self.objective}: nothing to judge by, as no folds are asked for")
        if not all(math.isfinite(value) for value in found.values()):
            raise StepFailed(f"trial: expected finite metrics, got {dict(found)}")
        return found


def _report(kept: Study, job: Job, objective: str) -> None:
    """Say on the study's run what was found: the best, a table of all, plots."""
    folder = job.workspace.artifacts
    folder.mkdir(parents=True, exist_ok=True)
    kept.table.to_csv(folder / "trials.csv", index=False)
    plots.search(kept.values, objective, folder / "plots" / "search.png")
    if kept.importances:
        title = "What the objective depends on"
        plots.bars(kept.importances, title, folder / "plots" / "importance.png")
    value, best = kept.best
    job.run.log_metrics({f"best_{objective}": value, "trials": kept.trials})
    job.run.set_tags({f"best.{name}": chosen for name, chosen in best.items()})
    job.run.log_artifacts(folder)
