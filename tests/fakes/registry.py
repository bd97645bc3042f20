"""A registry in memory that behaves as MLflow's does; a contract suite holds the two together."""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.bundle import refuse_links
from registry.errors import BundleInvalid, UnknownName, Unreachable
from registry.ledger import Snapshot
from registry.model_version import ModelVersion, Stage
from tests.fakes.clock import FakeClock


@dataclass
class _Model:
    """One registered model: numbers are never given twice while it lives."""

    tags: dict[str, str] = field(default_factory=dict)
    alias: int | None = None
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    numbers: int = 0


class FakeRegistry:
    """The `RegistryClient` port, and below it what people and training do to a registry by hand.

    `writes` lists the port's own changes as (method, model, …); `fail_next` makes one call fail.
    """

    def __init__(self, clock: FakeClock) -> None:
        """Empty, at the clock's time."""
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._metrics: dict[str, Mapping[str, float]] = {}
        self._failures: dict[str, list[Exception]] = {}
        self._afterwards: dict[str, Callable[[], object]] = {}
        self.writes: list[tuple[object, ...]] = []
        self.reports: dict[str, Mapping[str, str]] = {}

    # The port.

    def models(self) -> Mapping[str, int | None]:
        """See `RegistryClient.models`."""
        self._reached("models")
        return {name: model.alias for name, model in self._models.items()}

    def version(self, name: str, number: int | None = None) -> ModelVersion:
        """See `RegistryClient.version`."""
        self._reached("version")
        found = self.versions(name)
        if not found:
            raise UnknownName("model", name, self._models)
        if number is None:
            return found[0]
        for version in found:
            if version.version == number:
                return version
        raise UnknownName(f"version of {name}", str(number), [v.version for v in found])

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """See `RegistryClient.versions`."""
        self._reached("versions")
        model = self._models.get(name, _Model())
        return sorted(model.versions.values(), key=lambda v: v.version, reverse=True)

    def recent(self, limit: int) -> Sequence[ModelVersion]:
        """See `RegistryClient.recent`."""
        self._reached("recent")
        every = [v for m in self._models.values() for v in m.versions.values()]
        return sorted(every, key=lambda v: v.updated_ms, reverse=True)[:limit]

    def snapshot(self, name: str) -> Snapshot:
        """See `RegistryClient.snapshot`."""
        self._reached("snapshot")
        model = self._model(name)
        stages = {v.version: v.stage.value for v in model.versions.values()}
        return Snapshot({n: s for n, s in stages.items() if s != Stage.NONE}, model.alias)

    def alias(self, name: str, alias: str) -> int | None:
        """See `RegistryClient.alias`."""
        self._reached("alias")
        model = self._models[name]
        return model.alias if alias == "production" else model.aliases.get(alias)

    def source(self, version: ModelVersion) -> str:
        """See `RegistryClient.source`."""
        self._reached("source")
        return self._held(version.name, version.version).source

    def download(self, version: ModelVersion, into: Path) -> None:
        """See `RegistryClient.download`."""
        self._reached("download")
        try:
            self._copied(self._held(version.name, version.version).source, into)
        except BundleInvalid as error:
            raise BundleInvalid(f"{version}: {error}") from error

    def fetch(self, address: str, into: Path) -> None:
        """See `RegistryClient.fetch`."""
        self._reached("fetch")
        self._copied(address, into)

    def run_metrics(self, version: ModelVersion) -> Mapping[str, float]:
        """See `RegistryClient.run_metrics`."""
        self._reached("run_metrics")
        return dict(self._metrics.get(version.run_id or "", {}))

    def set_stage(self, version: ModelVersion, stage: Stage, *, archive_others: bool) -> None:
        """See `RegistryClient.set_stage`."""
        self._reached("set_stage")
        self.move(version.name, version.version, stage, archive=archive_others)
        self._written("set_stage", version.name, version.version, stage.value)

    def set_alias(self, name: str, version: int | None) -> None:
        """See `RegistryClient.set_alias`."""
        self._reached("set_alias")
        self.point(name, version)
        self._written("set_alias", name, version)

    def tag(self, version: ModelVersion, tags: Mapping[str, str | None]) -> None:
        """See `RegistryClient.tag`."""
        self._reached("tag")
        held = self._held(version.name, version.version)
        merged = {**held.tags, **tags}
        self._replace(held, tags={key: value for key, value in merged.items() if value is not None})
        self._written("tag", version.name, version.version, dict(tags))

    def model_tag(self, name: str, key: str) -> str | None:
        """See `RegistryClient.model_tag`."""
        self._reached("model_tag")
        return self._model(name).tags.get(key)

    def tag_model(self, name: str, key: str, value: str) -> None:
        """See `RegistryClient.tag_model`."""
        self._reached("tag_model")
        self._model(name).tags[key] = value
        self._written("tag_model", name, key, value)

    def log_report(self, version: ModelVersion, files: Mapping[str, str], folder: str) -> None:
        """See `RegistryClient.log_report`."""
        self._reached("log_report")
        if version.run_id in self._metrics:
            self.reports[folder] = dict(files)

    # What happens to a registry by other hands.

    def create_model(self, name: str) -> None:
        """Register a model without versions."""
        self._models[name] = _Model()

    def register(
        self,
        name: str,
        source: Path,
        *,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """A new version of a model, which is made if it is not there; `metrics` are its run's."""
        if name not in self._models:
            self.create_model(name)
        model, at = self._models[name], self._clock.tick()
        model.numbers += 1
        run_id = None if metrics is None else f"run-{name}-{model.numbers}-{at}"
        if run_id and metrics is not None:
            self._metrics[run_id] = metrics
        model.versions[model.numbers] = ModelVersion(
            name=name,
            version=model.numbers,
            stage=Stage.NONE,
            created_ms=at,
            updated_ms=at,
            source=str(source),
            run_id=run_id,
            tags=dict(tags or {}),
        )
        return model.versions[model.numbers]

    def move(self, name: str, number: int, stage: Stage, *, archive: bool = False) -> None:
        """Somebody sets a stage; several versions may share one."""
        held, at = self._held(name, number), self._clock.tick()
        for other in list(self._models[name].versions.values()):
            if archive and other.stage is stage and other.version != number:
                self._replace(other, stage=Stage.ARCHIVED, updated_ms=at)
        self._replace(held, stage=stage, updated_ms=at)

    def point(self, name: str, number: int | None) -> None:
        """Somebody moves the alias `production`, or takes it away; no version's time changes."""
        model = self._model(name)
        if number is not None:
            self._held(name, number)
        model.alias = number

    def delete_version(self, name: str, number: int) -> None:
        """Somebody deletes a version; its alias goes with it, its number is not given again."""
        self._held(name, number)
        del self._models[name].versions[number]
        if self._models[name].alias == number:
            self._models[name].alias = None

    def delete_model(self, name: str) -> None:
        """Somebody deletes a model; one of the same name begins at version 1 again."""
        self._model(name)
        del self._models[name]

    def copy(self, clock: FakeClock) -> FakeRegistry:
        """The same registry, changed apart from this one."""
        twin = FakeRegistry(clock)
        twin._models = copy.deepcopy(self._models)
        twin._metrics = dict(self._metrics)
        return twin

    def fail_next(self, method: str, error: Exception | None = None, *, times: int = 1) -> None:
        """Let the next calls of one method of the port fail."""
        fault = error or Unreachable(f"registry: {method} did not answer")
        self._failures.setdefault(method, []).extend([fault] * times)

    def after_next(self, method: str, happens: Callable[[], object]) -> None:
        """Call `happens` right after the next change that the port makes by `method`."""
        self._afterwards[method] = happens

    def _copied(self, address: str, into: Path) -> None:
        source = Path(address)
        if not source.is_dir():
            raise BundleInvalid(f"no artifact at {address}")
        refuse_links(source)
        shutil.copytree(source, into, dirs_exist_ok=True)

    def _written(self, method: str, *what: object) -> None:
        self.writes.append((method, *what))
        if happens := self._afterwards.pop(method, None):
            happens()

    def _reached(self, method: str) -> None:
        if waiting := self._failures.get(method):
            raise waiting.pop(0)

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            raise UnknownName("model", name, ())
        return self._models[name]

    def _held(self, name: str, number: int) -> ModelVersion:
        versions = self._models.get(name, _Model()).versions
        if number not in versions:
            raise UnknownName("version", f"{name} v{number}", ())
        return versions[number]

    def _replace(self, held: ModelVersion, **changes: object) -> None:
        changed = dataclasses.replace(held, **changes)  # type: ignore[arg-type]
        self._models[held.name].versions[held.version] = changed
