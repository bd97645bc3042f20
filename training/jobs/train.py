"""The job of `POST /train`: the pipeline, as `python -m training run` has it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from registry.errors import UnknownName, UsageError
from registry.job_bodies import TrainBody
from registry.settings import Settings
from training import apart
from training.data.sample import Sample
from training.job import Job, Plan
from training.jobs.channel import Channel
from training.jobs.earlier import registered
from training.jobs.task import Asked
from training.pipeline import run
from training.steps import STEPS, Step
from training.workload import Workload
from training.workloads import get

# Sources that read files, and what a series of theirs ends with in BATON_DATA.
_FILED: Final = {"csv": ".csv", "folder": ""}


def train(asked: Asked, channel: Channel, settings: Settings) -> Mapping[str, Any]:
    """Train and register; the members of an `Outcome`.

    What an attempt before this one registered is what this job has come to. Raises what
    `Plan.of` and `pipeline.run` raise.
    """
    plan = planned(TrainBody.of(asked.body), settings)
    apart.hand_over(get(plan.workload).about, sys.argv[1:])
    if asked.attempt > 1 and (done := registered(settings, plan.experiment, asked.job)):
        channel.tell(run_id=done.run_id, metrics=done.metrics)
        return {"model": done.model, "version": done.version, "result": None}
    trained = run(plan, settings, steps=told(channel), tags=asked.tags)
    shown = trained.to_json()
    return {
        "model": trained.model,
        "version": str(trained.version),
        "result": {
            name: shown[name]
            for name in ("experiment", "series", "source", "verdict", "baselines", "seconds")
        },
    }


def planned(body: TrainBody, settings: Settings) -> Plan:
    """What is asked for as a plan; raises UnknownName or UsageError.

    A ticker without a source is a bundled one if there is one of its name, else Yahoo's.
    """
    source, series = body.source, body.ticker or body.series
    if body.ticker and source is None:
        source = "sample" if body.ticker in Sample().series else "yahoo"
    return Plan.of(
        body.workload,
        settings,
        params=body.params,
        source=source,
        series=series,
        file=kept(source, series or "", settings) if source in _FILED else None,
        experiment=body.experiment,
        model=body.model,
        seed=body.seed,
        start_date=body.start_date,
        end_date=body.end_date,
    )


def kept(source: str, series: str, settings: Settings) -> Path:
    """The file or directory of a series in BATON_DATA: whoever asks for a job names no paths.

    Raises UnknownName listing what there is, UsageError where nothing is set.
    """
    if not settings.data:
        raise UsageError(f"source {source}: jobs read files of BATON_DATA, which is not set here")
    suffix, root = _FILED[source], Path(settings.data).expanduser()
    if not root.is_dir():
        raise UsageError(f"source {source}: BATON_DATA is no directory here")
    there = {
        path.name.removesuffix(suffix): path
        for path in sorted(root.iterdir())
        if path.name.endswith(suffix) and path.is_dir() == (not suffix) and path.name[0] != "."
    }
    if series not in there:
        raise UnknownName(f"series of source {source} in BATON_DATA", series, there)
    return there[series]


def told(channel: Channel, steps: Mapping[str, Step] = STEPS) -> Mapping[str, Step]:
    """The same steps; the worker is told of each, and asked before one registers."""
    return {
        name: partial(_told, channel, name, at / len(steps), step)
        for at, (name, step) in enumerate(steps.items())
    }


def _told(
    channel: Channel, name: str, progress: float, step: Step, workload: Workload, job: Job
) -> None:
    sys.stderr.write(f"{workload.about.name}: {name}\n")
    channel.tell(step=name, progress=round(progress, 3), run_id=job.run.run_id)
    if name == "register":
        channel.ask()
    step(workload, job)
    if name == "evaluate":
        channel.tell(metrics=job.workspace.read("evaluation.json")["metrics"])
