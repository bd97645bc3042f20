"""One run of the pipeline: what was asked for (`Plan`) and what the steps may use (`Job`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from registry.errors import UsageError
from registry.settings import Settings
from training.data.dataset import Dataset
from training.data.source import source as data_source
from training.incumbent import Incumbent
from training.parameter import Value, resolve
from training.workload import About, Material
from training.workloads import get
from training.workspace import Workspace

DEFAULT_SEED = 42
# Where a workload has a parameter of this name, it is the run's seed.
_SEED_PARAMETER = "random_state"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was asked for, complete and checked; written to the workspace as `plan.json`.

    It carries the content of a configuration file, so that whoever goes on with it, here or on
    another machine, goes by what was read. Of dated data only what lies between both dates (ISO,
    inclusive) is used.
    """

    workload: str
    experiment: str
    model: str
    source: str
    series: str
    params: Mapping[str, Value]
    seed: int
    file: str | None = None
    configuration: Mapping[str, Any] | None = None
    start_date: str | None = None
    end_date: str | None = None

    @classmethod
    def of(  # noqa: PLR0913 - one argument for each thing a person may choose
        cls,
        name: str,
        settings: Settings,
        *,
        params: Mapping[str, object] | None = None,
        source: str | None = None,
        series: str | None = None,
        file: Path | None = None,
        experiment: str | None = None,
        model: str | None = None,
        seed: int | None = None,
        configuration: Mapping[str, Any] | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> Self:
        """Fill in the workload's defaults; raise UnknownName or UsageError before anything runs.

        With the content of a configuration file, `name` is that file's, for messages.
        """
        workload = get(name, configuration=configuration)
        about = workload.about
        where = source or (_of_file(file) if file else about.default_source)
        values, seed = _seeded(about, dict(params or {}), seed)
        reader = data_source(where, file=file, params=values)
        what = series or (file.stem if file else about.series.get(where, ""))
        reader.check(what)
        workload.requirements(values)
        if (start_date or end_date) and not about.is_dated:
            raise UsageError(f"workload {about.name}: its data has no dates to choose by")
        return cls(
            workload=about.name,
            experiment=experiment or settings.experiment_name or about.experiment,
            model=model or settings.model_name or about.model.format(ticker=_nameable(what)),
            source=where,
            series=what,
            params=values,
            seed=seed,
            file=str(file.resolve()) if file else None,
            configuration=configuration,
            start_date=start_date,
            end_date=end_date,
        )

    def to_json(self) -> dict[str, Any]:
        """As written to `plan.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`; raises UsageError for what is no plan."""
        try:
            return cls(**data)
        except TypeError as error:
            raise UsageError(f"plan.json: {error}") from error


class RunLog(Protocol):
    """The one MLflow run of a job, as the steps see it."""

    @property
    def run_id(self) -> str:
        """MLflow's id of the run."""
        ...

    def log_params(self, params: Mapping[str, object]) -> None:
        """Add parameters."""
        ...

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add metrics."""
        ...

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Add metrics with a value for each step."""
        ...

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags."""
        ...

    def log_dataset(self, data: Dataset) -> None:
        """Add the data set as an input of the run."""
        ...

    def log_artifacts(self, folder: Path) -> None:
        """Add every file below `folder` under its relative path."""
        ...

    def register(
        self, bundle: Path, model: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> int:
        """Register a version's folder under `model`, wholly or not at all; its number.

        The run gets the tag `model_version`.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a step works with besides its workload."""

    plan: Plan
    workspace: Workspace
    run: RunLog
    incumbent: Incumbent

    def material(self) -> Material:
        """Both parts of the data and the parameters, for a workload's hook."""
        return Material(
            train=self.workspace.frame("train"),
            holdout=self.workspace.frame("holdout"),
            params=self.plan.params,
            seed=self.plan.seed,
            run_id=self.run.run_id,
            artifacts=self.workspace.artifacts,
            caveat=self.workspace.read("dataset.json")["caveat"],
        )


def _of_file(file: Path) -> str:
    """The source that a file alone means."""
    return "folder" if file.is_dir() else "csv"


def _nameable(series: str) -> str:
    """A series as part of a model's name, which has no slash and no colon."""
    return series.replace("/", "-").replace(":", "-")


def _seeded(
    about: About, given: dict[str, object], seed: int | None
) -> tuple[dict[str, Value], int]:
    """All parameters and the seed; `--seed` and a parameter `random_state` are the same thing."""
    own = next((p for p in about.parameters if p.name == _SEED_PARAMETER), None)
    if own is not None and seed is not None:
        if own.parse(given.get(own.name, seed)) != seed:
            raise UsageError(f"seed: {seed} and {own.name}={given[own.name]} contradict each other")
        given[own.name] = seed
    values = resolve(about.parameters, given)
    if own is not None:
        return values, int(values[own.name])
    return values, DEFAULT_SEED if seed is None else seed
