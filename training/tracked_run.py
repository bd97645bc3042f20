"""One open MLflow run: what the steps log to, and how a version is registered from it."""

from __future__ import annotations

import getpass
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from registry.bundle import Manifest
from registry.client import reaching
from registry.errors import BatonError
from training.data.dataset import Dataset
from training.tracking import MODEL, Tracking, infer_signature

_MAX_TAG = 5000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedRun:
    """A run of `tracking`'s store; every method raises Unreachable if that does not answer."""

    tracking: Tracking
    run_id: str
    experiment_id: str

    @classmethod
    def start(
        cls, tracking: Tracking, experiment: str, *, run_name: str, tags: Mapping[str, str]
    ) -> Self:
        """Open a run in an experiment, which is made if missing."""
        found = tracking.experiment(experiment)
        own = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "python -m training"}
        with reaching(tracking.settings.tracking_uri):
            run = tracking.client.create_run(found, run_name=run_name, tags={**own, **tags})
        return cls(tracking, run.info.run_id, found)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Add parameters."""
        with self._reaching() as client:
            client.log_batch(
                self.run_id, params=[self._entities.Param(k, str(v)) for k, v in params.items()]
            )

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add metrics."""
        with self._reaching() as client:
            client.log_batch(self.run_id, metrics=self._metrics(metrics))

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Add metrics with a value for each step, from 0 on."""
        now = int(time.time() * 1000)
        found = [
            self._entities.Metric(name, value, now, step)
            for name, values in curves.items()
            for step, value in enumerate(values)
        ]
        if found:
            with self._reaching() as client:
                client.log_batch(self.run_id, metrics=found)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; a text longer than MLflow keeps is cut."""
        with self._reaching() as client:
            client.log_batch(
                self.run_id,
                tags=[self._entities.RunTag(k, str(v)[:_MAX_TAG]) for k, v in tags.items()],
            )

    def log_dataset(self, data: Dataset) -> None:
        """Add the data set as an input: name, digest, columns, rows and origin."""
        columns = infer_signature(data.frame).inputs.to_dict()
        logged = self._entities.Dataset(
            name=data.name,
            digest=data.fingerprint[:16],
            source_type="code",
            source=json.dumps({"origin": data.origin, "credit": data.credit}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps({"num_rows": len(data.frame), "sha256": data.fingerprint}),
        )
        context = self._entities.InputTag("mlflow.data.context", "training")
        with self._reaching() as client:
            client.log_inputs(self.run_id, [self._entities.DatasetInput(logged, [context])])

    def log_artifacts(self, folder: Path, into: str | None = None) -> None:
        """Add every file below `folder` under its relative path."""
        with self._reaching() as client:
            client.log_artifacts(self.run_id, str(folder), into)

    def address(self, path: str) -> str:
        """Where an artifact of this run lies, as nodes fetch it."""
        with self._reaching() as client:
            return f"{client.get_run(self.run_id).info.artifact_uri}/{path}"

    def finish(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._reaching() as client:
            client.set_terminated(self.run_id, status)

    def register(
        self, bundle: Path, model: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> int:
        """Register a version's folder under `model`, wholly or not at all; its number.

        `metrics` are those of the run that MLflow shows with the model too. The files are uploaded
        as the run's logged model and read back before the version is made. A copy goes among the
        run's artifacts, where MLflow's page would not show them otherwise.
        Whatever fails takes what was made with it. Raises BundleInvalid, StepFailed, Unreachable.
        """
        made: list[tuple[str, ...]] = []
        try:
            with self._reaching() as client:
                logged = client.create_logged_model(
                    self.experiment_id, name=MODEL, source_run_id=self.run_id
                )
                made.append(("delete_logged_model", logged.model_id))
                self._upload(logged.model_id, bundle, metrics)
                version = str(self._version(logged, model, tags))
                made.append(("delete_model_version", model, version))
                shown = json.dumps([{"name": model, "version": int(version)}])
                client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": shown})
                client.set_tag(self.run_id, "model_version", version)
        except BaseException:
            self._undo(made)
            raise
        return int(version)

    def _upload(self, model_id: str, bundle: Path, metrics: Mapping[str, float]) -> None:
        """Send the files, read them back, and tie the logged model to the run and its metrics."""
        client = self.tracking.client
        client.log_model_artifacts(model_id, str(bundle))
        with TemporaryDirectory(prefix="baton-register-") as scratch:
            self.tracking.mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{model_id}",
                dst_path=scratch,
                tracking_uri=self.tracking.settings.tracking_uri,
            )
            Manifest.of(bundle).verify(Path(scratch))
        client.log_artifacts(self.run_id, str(bundle), MODEL)
        client.finalize_logged_model(model_id, "READY")
        client.log_outputs(self.run_id, [self._entities.LoggedModelOutput(model_id, step=0)])
        client.log_batch(self.run_id, self._metrics(metrics, model_id))

    def _version(self, logged: Any, model: str, tags: Mapping[str, str]) -> int:
        """Make the version."""
        client, settings = self.tracking.client, self.tracking.settings
        self.tracking.unless_there(client.create_registered_model, model)
        # A registry of its own knows nothing of the tracking server's logged models.
        shared = settings.registry_uri == settings.tracking_uri
        version = client.create_model_version(
            model,
            f"models:/{logged.model_id}" if shared else logged.artifact_location,
            run_id=self.run_id,
            tags=dict(tags),
            model_id=logged.model_id if shared else None,
        )
        return int(version.version)

    def _undo(self, made: list[tuple[str, ...]]) -> None:
        """Delete what was made, the last first, as far as MLflow still answers."""
        for deletion, *what in reversed(made):
            try:
                with self._reaching() as client:
                    getattr(client, deletion)(*what)
            except BatonError as error:
                _log.warning("%s %s: %s", deletion, " ".join(what), error)

    def _metrics(self, metrics: Mapping[str, float], model_id: str | None = None) -> list[Any]:
        """Metrics as MLflow takes them: of the run, or of its logged model too."""
        now = time.time_ns() // 1_000_000
        metric = self._entities.Metric
        return [metric(k, float(v), now, 0, model_id=model_id) for k, v in metrics.items()]

    @property
    def _entities(self) -> Any:
        return self.tracking.mlflow.entities

    @contextmanager
    def _reaching(self) -> Iterator[Any]:
        """The client, with its errors as ours."""
        with reaching(self.tracking.settings.tracking_uri):
            yield self.tracking.client
