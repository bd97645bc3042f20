"""split: divide the data into what is learnt from and what is judged on."""

from __future__ import annotations

from training.job import Job
from training.workload import Workload


def split(workload: Workload, job: Job) -> None:
    """Write both parts into the workspace."""
    frame = job.workspace.dataset().frame
    parts = workload.split(frame, job.plan.params, seed=job.plan.seed)
    job.workspace.save_frame("train", parts.train)
    job.workspace.save_frame("holdout", parts.holdout)
