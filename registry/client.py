"""The MLflow registry, as the rest of Baton sees it: a port, and the adapter to MLflow.

The adapter is the only place that talks to MLflow about models; `training/tracking.py` is the only
other file that imports mlflow. mlflow is imported when the adapter is built, since it takes over a
second. Called by promotion, the registrar and the commands; never by a worker or the watcher.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from registry.bundle import refuse_links
from registry.database_urls import without_password
from registry.errors import BundleInvalid, StepFailed, UnknownName, Unreachable
from registry.first_contact import connect_once
from registry.ledger import Snapshot
from registry.manners import mind_manners
from registry.model_version import ModelVersion, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

PRODUCTION_ALIAS = "production"
# MLflow says this where it did not get as far as an answer.
_NO_ANSWER = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"})
_GONE = "RESOURCE_DOES_NOT_EXIST"
_PAGE = 200


class RegistryClient(Protocol):
    """What Baton needs of a registry; every method may raise Unreachable."""

    def models(self) -> Mapping[str, int | None]:
        """Every registered model, with the version its alias `production` points to."""

    def version(self, name: str, number: int | None = None) -> ModelVersion:
        """One version, the newest by number if none is named; UnknownName if there is none."""

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """Every version of a model, newest number first."""

    def recent(self, limit: int) -> Sequence[ModelVersion]:
        """The `limit` versions of all models that changed last."""

    def snapshot(self, name: str) -> Snapshot:
        """Every stage that is set, and where the alias `production` points."""

    def alias(self, name: str, alias: str) -> int | None:
        """The version that any alias points to."""

    def source(self, version: ModelVersion) -> str:
        """The address of the version's files, as nodes fetch them."""

    def download(self, version: ModelVersion, into: Path) -> None:
        """Copy the version's files into the empty directory `into`; links are refused."""

    def fetch(self, address: str, into: Path) -> None:
        """The same with what lies at `address`, as ledger entries name it."""

    def run_metrics(self, version: ModelVersion) -> Mapping[str, float]:
        """Metrics of the run that made the version; empty if there is none."""

    def set_stage(self, version: ModelVersion, stage: Stage, *, archive_others: bool) -> None:
        """Move a version, and if asked archive every other one of that stage."""

    def set_alias(self, name: str, version: int | None) -> None:
        """Point the alias `production` at a version, or take it away."""

    def tag(self, version: ModelVersion, tags: Mapping[str, str | None]) -> None:
        """Set tags on a version; None takes one away."""

    def model_tag(self, name: str, key: str) -> str | None:
        """One tag of a registered model."""

    def tag_model(self, name: str, key: str, value: str) -> None:
        """Set one tag on a registered model."""

    def log_report(self, version: ModelVersion, files: Mapping[str, str], folder: str) -> None:
        """Write text files below `folder` of the version's run; nothing if it has no run."""


class MlflowRegistry:
    """The port over MLflow's client: sqlite, PostgreSQL or HTTP, whatever the URIs say."""

    def __init__(self, *, tracking_uri: str, registry_uri: str) -> None:
        """Connect lazily; the first call raises Unreachable if nobody answers."""
        mind_manners()
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*model_version_stage")
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*[Ss]tages")
        import mlflow  # noqa: PLC0415 - slow; see the module's docstring

        self._tracking_uri = tracking_uri
        with reaching(tracking_uri):
            connect_once(registry_uri)
            self._client = mlflow.MlflowClient(tracking_uri, registry_uri)

    def models(self) -> Mapping[str, int | None]:
        """See `RegistryClient.models`."""
        found = self._pages(self._client.search_registered_models)
        return {m.name: _number(m.aliases.get(PRODUCTION_ALIAS)) for m in found}

    def version(self, name: str, number: int | None = None) -> ModelVersion:
        """See `RegistryClient.version`."""
        found = self.versions(name)
        if not found:
            raise UnknownName("model", name, self.models())
        if number is None:
            return found[0]
        for version in found:
            if version.version == number:
                return version
        raise UnknownName(f"version of {name}", str(number), [v.version for v in found])

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """See `RegistryClient.versions`."""
        quote = '"' if "'" in name else "'"  # MLflow's filters know no escape
        wanted = f"name={quote}{name}{quote}"
        found = self._pages(self._client.search_model_versions, filter_string=wanted)
        return sorted(map(_version, found), key=lambda v: v.version, reverse=True)

    def recent(self, limit: int) -> Sequence[ModelVersion]:
        """See `RegistryClient.recent`."""
        with reaching(self._tracking_uri):
            page = self._client.search_model_versions(
                max_results=limit, order_by=["last_updated_timestamp DESC"]
            )
        return [_version(raw) for raw in page]

    def snapshot(self, name: str) -> Snapshot:
        """See `RegistryClient.snapshot`."""
        with reaching(self._tracking_uri, missing=("model", name)):
            aliases = self._client.get_registered_model(name).aliases
        stages = {v.version: v.stage.value for v in self.versions(name) if v.stage != Stage.NONE}
        return Snapshot(stages, _number(aliases.get(PRODUCTION_ALIAS)))

    def alias(self, name: str, alias: str) -> int | None:
        """See `RegistryClient.alias`."""
        with reaching(self._tracking_uri, missing=("model", name)):
            return _number(self._client.get_registered_model(name).aliases.get(alias))

    def source(self, version: ModelVersion) -> str:
        """See `RegistryClient.source`."""
        with reaching(self._tracking_uri):
            found = self._client.get_model_version_download_uri(version.name, str(version.version))
            return str(found)

    def download(self, version: ModelVersion, into: Path) -> None:
        """See `RegistryClient.download`."""
        try:
            self.fetch(self.source(version), into)
        except BundleInvalid as error:
            raise BundleInvalid(f"{version}: {error}") from error

    def fetch(self, address: str, into: Path) -> None:
        """See `RegistryClient.fetch`; MLflow itself would copy what a link points to."""
        import mlflow.artifacts  # noqa: PLC0415 - slow; see the module's docstring
        from mlflow.utils.file_utils import local_file_uri_to_path  # noqa: PLC0415 - as above

        refuse_links(Path(local_file_uri_to_path(address)))
        with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
            try:
                with reaching(self._tracking_uri, missing=("artifact", address)):
                    found = mlflow.artifacts.download_artifacts(
                        artifact_uri=address, dst_path=scratch, tracking_uri=self._tracking_uri
                    )
            except (OSError, UnknownName) as error:
                raise BundleInvalid(f"no artifact at {address}: {error}") from error
            Path(found).rename(into)  # MLflow puts them one folder deeper

    def run_metrics(self, version: ModelVersion) -> Mapping[str, float]:
        """See `RegistryClient.run_metrics`."""
        if not version.run_id:
            return {}
        try:
            with reaching(self._tracking_uri, missing=("run", version.run_id)):
                return dict(self._client.get_run(version.run_id).data.metrics)
        except UnknownName:  # deleted for good, or kept by another tracking server
            return {}

    def set_stage(self, version: ModelVersion, stage: Stage, *, archive_others: bool) -> None:
        """See `RegistryClient.set_stage`."""
        with reaching(self._tracking_uri, missing=("version", str(version))):
            name, number = version.name, str(version.version)
            self._client.transition_model_version_stage(
                name, number, stage.value, archive_existing_versions=archive_others
            )

    def set_alias(self, name: str, version: int | None) -> None:
        """See `RegistryClient.set_alias`."""
        with reaching(self._tracking_uri, missing=("model", name)):
            if version is None:
                self._client.delete_registered_model_alias(name, PRODUCTION_ALIAS)
            else:
                self._client.set_registered_model_alias(name, PRODUCTION_ALIAS, str(version))

    def tag(self, version: ModelVersion, tags: Mapping[str, str | None]) -> None:
        """See `RegistryClient.tag`."""
        with reaching(self._tracking_uri, missing=("version", str(version))):
            for key, value in tags.items():
                where = (version.name, str(version.version), key)
                if value is None:
                    self._client.delete_model_version_tag(*where)
                else:
                    twice(self._client.set_model_version_tag, *where, value)

    def model_tag(self, name: str, key: str) -> str | None:
        """See `RegistryClient.model_tag`."""
        with reaching(self._tracking_uri, missing=("model", name)):
            tag: str | None = self._client.get_registered_model(name).tags.get(key)
            return tag

    def tag_model(self, name: str, key: str, value: str) -> None:
        """See `RegistryClient.tag_model`."""
        with reaching(self._tracking_uri, missing=("model", name)):
            twice(self._client.set_registered_model_tag, name, key, value)

    def log_report(self, version: ModelVersion, files: Mapping[str, str], folder: str) -> None:
        """See `RegistryClient.log_report`."""
        if not version.run_id:
            return
        with (
            tempfile.TemporaryDirectory() as scratch,
            suppress(UnknownName),
            reaching(self._tracking_uri, missing=("run", version.run_id)),
        ):
            for name, text in files.items():
                Path(scratch, name).write_text(text, encoding="utf-8")
            self._client.log_artifacts(version.run_id, scratch, folder)

    def _pages(self, search: Callable[..., Any], **query: Any) -> list[Any]:
        """Every page of one of MLflow's searches."""
        found: list[Any] = []
        token = None
        with reaching(self._tracking_uri):
            while True:
                page = search(max_results=_PAGE, page_token=token, **query)
                found += page
                token = page.token
                if not token:
                    return found


def twice(write: Callable[..., object], *what: object) -> None:
    """Write; MLflow looks and then inserts, so of two who do so at once one has to do it again."""
    try:
        write(*what)
    except Exception as error:
        if not any(name in str(error) for name in ("IntegrityError", "UniqueViolation")):
            raise
        write(*what)


def _number(version: str | int | None) -> int | None:
    """A version's number, which MLflow hands out as text."""
    return None if version is None else int(version)


def _version(raw: Any) -> ModelVersion:
    """MLflow's entity as ours."""
    return ModelVersion(
        name=raw.name,
        version=int(raw.version),
        stage=Stage(raw.current_stage or "None"),
        created_ms=int(raw.creation_timestamp),
        updated_ms=int(raw.last_updated_timestamp),
        source=raw.source,
        run_id=raw.run_id or None,
        tags=dict(raw.tags or {}),
    )


@contextmanager
def reaching(uri: str, *, missing: tuple[str, str] | None = None) -> Iterator[None]:
    """Turn MLflow's errors into ours.

    UnknownName for what does not exist, if `missing` says what was asked for; Unreachable if nobody
    answered; StepFailed if MLflow answered that it will not.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - comes with boto3
    from mlflow.exceptions import MlflowException, RestException  # noqa: PLC0415 - slow; see above
    from requests import RequestException  # noqa: PLC0415 - comes with mlflow
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 - as above

    faults = (MlflowException, RequestException, OperationalError, BotoCoreError, ClientError)
    try:
        yield
    except faults as error:
        code = getattr(error, "error_code", None)
        if code == _GONE and missing:
            raise UnknownName(*missing, ()) from error
        words = str(getattr(error, "message", error)).strip().partition("\n")[0]
        text = f"MLflow {without_password(uri)}: {words.rpartition('(Caused by ')[2]}"
        answered = isinstance(error, RestException) or code not in {None, *_NO_ANSWER}
        raise (StepFailed if answered else Unreachable)(text) from error
