"""How a run registers its one version: wholly or not at all, and once, whatever broke off before.

The files are uploaded as the run's logged model and read back before the version is made. A copy
goes among the run's artifacts, where MLflow's page would not show them otherwise. Whatever fails
takes what was made with it; what could not be taken back, because the process was killed or MLflow
was gone, is found by the run's id when the run is gone on with.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from registry.bundle import Manifest
from registry.client import reaching
from registry.errors import BatonError
from training.tracking import MODEL, Tracking

# The run's tag that is set last of all, to the version's number.
REGISTERED = "model_version"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """What the run `run_id` registers under `model`."""

    tracking: Tracking
    run_id: str
    experiment_id: str
    model: str

    def make(self, bundle: Path, *, tags: Mapping[str, str], metrics: Mapping[str, float]) -> int:
        """The number of the version, made of the folder `bundle` if there is none of this run yet.

        Raises BundleInvalid, StepFailed, Unreachable.
        """
        with reaching(self.tracking.settings.tracking_uri):
            versions, uploaded = self._versions(), self._uploaded()
            if versions and uploaded:
                self._tell(versions[0], uploaded[0])
                return int(versions[0].version)
            self._clear()
            try:
                logged = self.tracking.client.create_logged_model(
                    self.experiment_id, name=MODEL, source_run_id=self.run_id
                )
                self._upload(logged.model_id, bundle, metrics)
                version = self._create(logged, tags)
                self._tell(version, logged)
            except BaseException:
                self._undo()
                raise
        return int(version.version)

    def _versions(self) -> list[Any]:
        """The version that this run made, if it has."""
        found = self.tracking.client.search_model_versions(f"run_id='{self.run_id}'")
        return [version for version in found if version.name == self.model]

    def _uploaded(self) -> list[Any]:
        """The logged model of this run, if it has one; several if processes were killed."""
        wanted = f"source_run_id='{self.run_id}'"
        return [*self.tracking.client.search_logged_models([self.experiment_id], wanted)]

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
        output = self.tracking.mlflow.entities.LoggedModelOutput(model_id, step=0)
        client.log_outputs(self.run_id, [output])
        client.log_batch(self.run_id, entities(self.tracking, metrics, model_id))

    def _create(self, logged: Any, tags: Mapping[str, str]) -> Any:
        """Make the version."""
        client, settings = self.tracking.client, self.tracking.settings
        self.tracking.unless_there(client.create_registered_model, self.model)
        # A registry of its own knows nothing of the tracking server's logged models.
        shared = settings.registry_uri == settings.tracking_uri
        return client.create_model_version(
            self.model,
            f"models:/{logged.model_id}" if shared else logged.artifact_location,
            run_id=self.run_id,
            tags=dict(tags),
            model_id=logged.model_id if shared else None,
        )

    def _tell(self, version: Any, logged: Any) -> None:
        """Show the version with the logged model and with the run."""
        client = self.tracking.client
        shown = json.dumps([{"name": self.model, "version": int(version.version)}])
        client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": shown})
        client.set_tag(self.run_id, REGISTERED, str(version.version))

    def _clear(self) -> None:
        """Delete what this run made, the last first; asks for it, since an answer may be lost."""
        client = self.tracking.client
        if REGISTERED in client.get_run(self.run_id).data.tags:
            client.delete_tag(self.run_id, REGISTERED)
        for version in self._versions():
            client.delete_model_version(self.model, str(version.version))
        for logged in self._uploaded():
            client.delete_logged_model(logged.model_id)

    def _undo(self) -> None:
        """Delete it as far as MLflow still answers."""
        try:
            with reaching(self.tracking.settings.tracking_uri):
                self._clear()
        except BatonError as error:
            _log.warning("what run %s made of %s stays for now: %s", self.run_id, self.model, error)


def entities(
    tracking: Tracking, metrics: Mapping[str, float], model_id: str | None = None
) -> list[Any]:
    """Metrics as MLflow takes them: of the run, or of its logged model too."""
    now = time.time_ns() // 1_000_000
    metric = tracking.mlflow.entities.Metric
    return [metric(k, float(v), now, 0, model_id=model_id) for k, v in metrics.items()]
