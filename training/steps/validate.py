"""validate: refuse data that must not be trained on, naming the row."""

from __future__ import annotations

from training.data.checks import check
from training.job import Job
from training.workload import Workload


def validate(workload: Workload, job: Job) -> None:
    """Raise DataInvalid for the first thing that is wrong."""
    check(job.workspace.dataset(), workload.requirements(job.plan.params))
