"""One open MLflow run: what the steps log to (registering is in registration.py)."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from registry.client import reaching, twice
from registry.errors import BatonError
from training.data.dataset import Dataset
from training.registration import REGISTERED, Registration, entities
from training.tracking import Tracking, infer_signature

# The tag by which MLflow shows a run below another.
PARENT = "mlflow.parentRunId"
_MAX_TAG = 5000
_FAILURE = ("baton.failed_step", "baton.error")


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

    @classmethod
    def open(cls, tracking: Tracking, run_id: str) -> Self:
        """A run that is there; raises UnknownName if it is not."""
        with reaching(tracking.settings.tracking_uri, missing=("run", run_id)):
            run = tracking.client.get_run(run_id)
        return cls(tracking, run_id, run.info.experiment_id)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Add parameters."""
        with self._reaching() as client:
            client.log_batch(
                self.run_id, params=[self._entities.Param(k, str(v)) for k, v in params.items()]
            )

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add metrics."""
        with self._reaching() as client:
            client.log_batch(self.run_id, metrics=entities(self.tracking, metrics))

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
            twice(client.log_inputs, self.run_id, [self._entities.DatasetInput(logged, [context])])

    def log_artifacts(self, folder: Path, into: str | None = None) -> None:
        """Add every file below `folder` under its relative path."""
        with self._reaching() as client:
            client.log_artifacts(self.run_id, str(folder), into)

    def status(self) -> str:
        """RUNNING, FINISHED, FAILED or KILLED."""
        with self._reaching() as client:
            return str(client.get_run(self.run_id).info.status)

    def registered(self) -> bool:
        """Whether its version is made, and nothing is missing."""
        with self._reaching() as client:
            return REGISTERED in client.get_run(self.run_id).data.tags

    def fail(self, step: str, why: str) -> None:
        """Say which step failed, and why."""
        self.set_tags(dict(zip(_FAILURE, (step, why), strict=True)))

    def address(self, path: str) -> str:
        """Where an artifact of this run lies, as nodes fetch it."""
        with self._reaching() as client:
            return f"{client.get_run(self.run_id).info.artifact_uri}/{path}"

    def finish(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._reaching() as client:
            client.set_terminated(self.run_id, status)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End it with the block: FINISHED, FAILED or, for a person's interruption, KILLED.

        That a failed one could not be marked is a note on the block's own error.
        """
        try:
            yield
        except BaseException as error:
            try:
                self.finish("FAILED" if isinstance(error, Exception) else "KILLED")
            except BatonError as unreachable:
                error.add_note(f"run {self.run_id} could not be marked: {unreachable}")
            raise
        self.finish("FINISHED")

    def reopen(self) -> Mapping[str, str]:
        """Say that somebody works on it: RUNNING, no word of what failed; its tags before."""
        with self._reaching() as client:
            run = client.get_run(self.run_id)
            if run.info.status != "RUNNING":
                client.update_run(self.run_id, status="RUNNING")
            for tag in _FAILURE:
                if tag in run.data.tags:
                    client.delete_tag(self.run_id, tag)
        tags: dict[str, str] = run.data.tags
        return tags

    def register(
        self, bundle: Path, model: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> int:
        """Register a version's folder under `model`, wholly or not at all; its number.

        `metrics` are those of the run that MLflow shows with the model too. A version that this run
        made before is the one. Raises BundleInvalid, StepFailed, Unreachable.
        """
        registration = Registration(self.tracking, self.run_id, self.experiment_id, model)
        return registration.make(bundle, tags=tags, metrics=metrics)

    @property
    def _entities(self) -> Any:
        return self.tracking.mlflow.entities

    @contextmanager
    def _reaching(self) -> Iterator[Any]:
        """The client, with its errors as ours."""
        with reaching(self.tracking.settings.tracking_uri):
            yield self.tracking.client
