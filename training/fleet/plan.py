"""What a fleet was asked for: kept with its parent run, so that it can be gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from registry.errors import UsageError
from registry.settings import Settings
from training.fleet.series import SeriesFile
from training.job import Plan
from training.workloads import get

_PLACE = "{ticker}"


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """One model a series of `series_file`, all with the same parameters.

    `model` is the pattern of the models' names: `{ticker}` in it is the series, else the series
    follows after a hyphen. `digest` is that of the series' names.
    """

    workload: str
    series_file: str
    source: str | None
    model: str
    experiment: str
    params: Mapping[str, Any]
    seed: int | None
    configuration: Mapping[str, Any] | None
    digest: str

    @classmethod
    def of(  # noqa: PLR0913 - one argument for each thing a person may choose
        cls,
        workload: str,
        series: SeriesFile,
        settings: Settings,
        *,
        params: Mapping[str, object],
        model: str | None = None,
        experiment: str | None = None,
        seed: int | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> Self:
        """Fill in the workload's names, and check all that is no matter of one series' data.

        Raises UsageError, before anything is trained, for parameters that cannot be, and for two
        series whose models would have the same name.
        """
        about = get(workload, configuration=configuration).about
        plan = cls(
            workload=workload,
            series_file=str(series.path),
            source=series.source,
            model=model or settings.model_name or about.model,
            experiment=experiment or settings.experiment_name or about.experiment,
            params=dict(params),
            seed=seed,
            configuration=configuration,
            digest=series.digest,
        )
        plan.refuse_same_names(series.names)
        plan.of_series(series.names[0], series, settings)
        return plan

    def of_series(self, name: str, series: SeriesFile, settings: Settings) -> Plan:
        """The plan of one series' training; raises UsageError or UnknownName."""
        return Plan.of(
            self.workload,
            settings,
            params=self.params,
            source=self.source,
            series=name,
            file=series.file_of(name),
            experiment=self.experiment,
            model=self.model_of(name),
            seed=self.seed,
            configuration=self.configuration,
        )

    def model_of(self, name: str) -> str:
        """The registered model of a series; MLflow allows no slash and no colon in it."""
        allowed = name.replace("/", "-").replace(":", "-")
        if _PLACE in self.model:
            return self.model.replace(_PLACE, allowed)
        return f"{self.model}-{allowed}"

    def refuse_same_names(self, names: Sequence[str]) -> None:
        """Raise UsageError if two series would be versions of one model."""
        models: dict[str, str] = {}
        for name in names:
            other = models.setdefault(self.model_of(name), name)
            if other != name:
                raise UsageError(
                    f"series {other!r} and {name!r}: both models would be "
                    f"{self.model_of(name)!r}; rename one"
                )

    def series(self) -> SeriesFile:
        """The series, read again; raises UsageError if they are others than at the beginning."""
        found = SeriesFile.read(Path(self.series_file), source=self.source)
        if found.digest != self.digest:
            raise UsageError(
                f"{self.series_file}: its series are no longer those that this fleet began with; "
                "begin a new one, without --resume"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """As kept with the parent run."""
        return dataclasses.asdict(self)
