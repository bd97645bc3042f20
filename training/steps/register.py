"""register: put the version's folder into the registry, wholly or not at all."""

from __future__ import annotations

from registry.evaluation import Evaluation
from training.job import Job
from training.steps.evaluate import flat
from training.workload import Workload


def register(workload: Workload, job: Job) -> None:
    """Register a new version and write its number to `registered.json`."""
    data = job.workspace.read("dataset.json")
    version = job.run.register(
        job.workspace.bundle,
        job.plan.model,
        tags={
            "baton.kind": workload.about.kind,
            "baton.workload": workload.about.name,
            "baton.series": data["name"],
            "ticker": data["name"],
            "data_source": data["source"],
            **({"baton.caveat": data["caveat"]} if data["caveat"] else {}),
        },
        metrics=flat(Evaluation.from_json(job.workspace.read("evaluation.json"))),
    )
    job.workspace.write("registered.json", {"model": job.plan.model, "version": version})
