"""What earlier attempts at a job have left in MLflow: runs that nobody ended, perhaps a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from registry.client import reaching
from registry.settings import Settings
from training.tracking import Tracking


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version that a run of this job has registered."""

    run_id: str
    model: str
    version: str
    metrics: Mapping[str, float]


def registered(settings: Settings, experiment: str, job: str) -> Registered | None:
    """The version that an earlier attempt registered before its worker died, if it came so far.

    Runs that are still open are ended: whoever worked on them is gone. Raises Unreachable.
    """
    tracking = Tracking(settings)
    where = [tracking.experiment(experiment)]
    with reaching(settings.tracking_uri):
        found = tracking.client.search_runs(where, f"tags.`baton.job_id` = '{job}'")
        for run in found:
            run_id = run.info.run_id
            versions = tracking.client.search_model_versions(f"run_id='{run_id}'")
            if not versions:
                end_run(settings, run_id, "KILLED")
                continue
            if run.info.status != "FINISHED":
                tracking.client.set_terminated(run_id, "FINISHED")
            version = versions[0]
            return Registered(
                run_id=run_id,
                model=version.name,
                version=str(version.version),
                metrics=run.data.metrics,
            )
    return None


def end_run(settings: Settings, run_id: str, status: str) -> None:
    """Mark a run that is still open. Raises Unreachable or StepFailed."""
    tracking = Tracking(settings)
    with reaching(settings.tracking_uri):
        if tracking.client.get_run(run_id).info.status == "RUNNING":
            tracking.client.set_terminated(run_id, status)
