"""fit: learn from the training part alone."""

from __future__ import annotations

import random

import numpy as np

from training.environment import cuda_available
from training.job import Job
from training.workload import Workload


def fit(workload: Workload, job: Job) -> None:
    """Log the parameters, set the seeds, fit, and write the model into the workspace."""
    plan, train = job.plan, job.workspace.frame("train")
    job.run.log_params(
        {
            **plan.params,
            "seed": plan.seed,
            "train_rows": len(train),
            "holdout_rows": len(job.workspace.frame("holdout")),
            "cuda_available": cuda_available(),
        }
    )
    seed_everything(plan.seed)
    model = workload.fit(train, plan.params, seed=plan.seed)
    workload.save(model, job.workspace.fresh(job.workspace.model))


def seed_everything(seed: int) -> None:
    """Seed the generators that libraries share; those of a model take the seed as an argument."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the one that scikit-learn and Prophet read
