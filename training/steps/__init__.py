"""The steps of every training, in their order; each is a function of a workload and a job.

A step reads and writes files of the job's workspace and adds to the job's one run; it hands nothing
to the next step in memory, so that each can be run in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.job import Job
from training.steps.evaluate import evaluate
from training.steps.fit import fit
from training.steps.load import load
from training.steps.package import package
from training.steps.register import register
from training.steps.split import split
from training.steps.validate import validate
from training.workload import Workload

Step = Callable[[Workload, Job], None]

STEPS: Mapping[str, Step] = {
    "load": load,
    "validate": validate,
    "split": split,
    "fit": fit,
    "evaluate": evaluate,
    "package": package,
    "register": register,
}
