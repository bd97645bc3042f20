"""What a finished run has to say for itself, put together from its workspace."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from registry.settings import Settings
from training.job import Job
from training.tracking import MODEL
from training.workspace import Workspace

LAST_TRAINED = "last_trained.json"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run and the version it registered, None if its steps do not end with that.

    `seconds` are those of the steps; `artifacts` is every file the run shows.
    """

    workload: str
    model: str
    version: int | None
    run_id: str
    experiment: str
    series: str
    source: str
    verdict: str
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    current: Mapping[str, Any] | None
    seconds: float
    artifacts: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, *, registers: bool, seconds: float) -> Self:
        """What there is to say after the last step; raises StepFailed if something is missing."""
        files = job.workspace
        evaluation = files.read("evaluation.json")
        return cls(
            workload=job.plan.workload,
            model=job.plan.model,
            version=files.read("registered.json")["version"] if registers else None,
            run_id=job.run.run_id,
            experiment=job.plan.experiment,
            series=evaluation["series"],
            source=evaluation["source"],
            verdict=files.read("verdict.json")["verdict"],
            metrics=evaluation["metrics"],
            baselines=evaluation["baselines"],
            current=evaluation["current"],
            seconds=round(seconds, 2),
            artifacts=_artifacts(files),
        )

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json`."""
        return dataclasses.asdict(self)

    def remember(self, settings: Settings) -> None:
        """Keep what was registered last here, so that `make promote` alone can promote it."""
        if self.version is not None:
            last = {"model": self.model, "version": self.version, "run_id": self.run_id}
            Workspace(settings.home).write(LAST_TRAINED, last)


def _artifacts(workspace: Workspace) -> tuple[str, ...]:
    """Every file the run shows, sorted."""
    below = {"": workspace.artifacts, f"{MODEL}/": workspace.bundle}
    return tuple(
        sorted(
            prefix + str(path.relative_to(folder))
            for prefix, folder in below.items()
            for path in folder.rglob("*")
            if path.is_file()
        )
    )
