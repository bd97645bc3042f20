"""load: read the data, say on the run what it is, keep it in the workspace."""

from __future__ import annotations

from pathlib import Path

from training.data.source import source
from training.job import Job
from training.workload import Workload


def load(workload: Workload, job: Job) -> None:
    """Read `plan.series` from `plan.source`; raises DataInvalid or StepFailed."""
    plan = job.plan
    reader = source(
        plan.source,
        file=Path(plan.file) if plan.file else None,
        params=plan.params,
        scratch=job.workspace.pictures,
        cache=job.workspace.fetched,
    )
    data = reader.load(plan.series, workload.about.fields)
    if plan.start_date or plan.end_date:
        data = data.between(plan.start_date, plan.end_date)
        job.run.log_params({"start_date": plan.start_date, "end_date": plan.end_date})
    job.workspace.save_dataset(data)
    job.run.set_tags(
        {
            "data_source": data.source,
            "ticker": data.name,
            "baton.series": data.name,
            "baton.credit": data.credit,
            "baton.data_fingerprint": data.fingerprint,
            **({"baton.caveat": data.caveat} if data.caveat else {}),
        }
    )
    job.run.log_dataset(data)
