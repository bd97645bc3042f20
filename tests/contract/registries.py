"""Two registries with the hands of people and training on them: the fake, and MLflow's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mlflow import MlflowClient

from registry.client import MlflowRegistry, RegistryClient
from registry.model_version import ModelVersion
from registry.settings import Settings
from tests.fakes import FakeClock, FakeRegistry


class Backend(Protocol):
    """A registry, and what happens to it by other hands than Baton's."""

    client: RegistryClient

    def create_model(self, name: str) -> None: ...

    def register(
        self, name: str, source: Path, *, metrics: Mapping[str, float] | None = None
    ) -> ModelVersion: ...

    def delete_version(self, name: str, number: int) -> None: ...

    def delete_model(self, name: str) -> None: ...

    def report(self, version: ModelVersion, folder: str) -> Mapping[str, str]: ...


class InMemory:
    """The fake."""

    def __init__(self) -> None:
        self.client = FakeRegistry(FakeClock())
        self.create_model = self.client.create_model
        self.register = self.client.register
        self.delete_version = self.client.delete_version
        self.delete_model = self.client.delete_model

    def report(self, version: ModelVersion, folder: str) -> Mapping[str, str]:
        return self.client.reports.get(folder, {})


class OnSqlite:
    """MLflow's own, in one file."""

    def __init__(self, settings: Settings) -> None:
        self.raw = MlflowClient(settings.tracking_uri, settings.registry_uri)
        self.client = MlflowRegistry(
            tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
        )
        self.experiment = self.raw.create_experiment("here", str(settings.artifacts_dir))

    def create_model(self, name: str) -> None:
        self.raw.create_registered_model(name)

    def register(
        self, name: str, source: Path, *, metrics: Mapping[str, float] | None = None
    ) -> ModelVersion:
        if name not in self.client.models():
            self.create_model(name)
        run_id = None
        if metrics is not None:
            run_id = self.raw.create_run(self.experiment).info.run_id
            for key, value in metrics.items():
                self.raw.log_metric(run_id, key, value)
        made = self.raw.create_model_version(name, str(source), run_id)
        return self.client.version(name, int(made.version))

    def delete_version(self, name: str, number: int) -> None:
        self.raw.delete_model_version(name, str(number))

    def delete_model(self, name: str) -> None:
        self.raw.delete_registered_model(name)

    def report(self, version: ModelVersion, folder: str) -> Mapping[str, str]:
        found = self.raw.list_artifacts(version.run_id, folder)
        root = Path(self.raw.get_run(version.run_id).info.artifact_uri)
        return {Path(f.path).name: (root / f.path).read_text() for f in found}
