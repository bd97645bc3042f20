"""Registering breaks off at each of its calls to MLflow: nothing is there, or it is made whole."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from registry.errors import Unreachable
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.trainer import iris
from training.job import Job
from training.pipeline import begin, resume, take
from training.progress import Progress
from training.steps import STEPS, Step
from training.tracked_run import TrackedRun
from training.tracking import Tracking
from training.workload import Workload
from training.workspace import Workspace

# In their order; after each, and before the first.
CALLS = (
    "create_logged_model",
    "log_model_artifacts",
    "log_artifacts",
    "finalize_logged_model",
    "log_outputs",
    "log_batch",
    "create_registered_model",
    "create_model_version",
    "set_logged_model_tags",
    "set_tag",
)
MOMENTS = [(CALLS[0], "before"), *((call, "after") for call in CALLS)]


class Client:
    """MLflow's client, that breaks off before or after the first of a kind of calls.

    `for_good`: nobody answers any more from then on.
    """

    def __init__(
        self, real: Any, call: str, when: str, error: BaseException, *, for_good: bool
    ) -> None:
        self._real, self._call, self._when = real, call, when
        self._error, self._for_good = error, for_good
        self.broke = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.broke and self._for_good:
                raise self._error
            here = name == self._call and not self.broke
            if here and self._when == "before":
                self._break()
            try:
                return method(*args, **kwargs)
            finally:
                if here:
                    self._break()

        return call

    def _break(self) -> None:
        self.broke = True
        raise self._error


@dataclasses.dataclass
class Packaged:
    """A registry, and runs in it that have been through all steps but the last."""

    settings: Settings
    workspace: Path

    def run(self) -> str:
        """One more: its files are those of the first."""
        run_id = begin(iris(self.settings), self.settings)
        files = Workspace.of(self.settings, run_id)
        shutil.copytree(self.workspace, files.root, dirs_exist_ok=True)
        return run_id

    def of(self, run_id: str) -> tuple[list[int], list[str], dict[str, str]]:
        """A run's versions, its logged models, its tags."""
        client = Tracking(self.settings).client
        run = client.get_run(run_id)
        made = client.search_model_versions(f"run_id='{run_id}'")
        logged = client.search_logged_models([run.info.experiment_id], f"source_run_id='{run_id}'")
        return [int(v.version) for v in made], [m.model_id for m in logged], run.data.tags


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    root = tmp_path_factory.mktemp("packaged")
    settings = embedded(root / "var")
    run_id = begin(iris(settings), settings)
    for step in [*STEPS][:-1]:
        take(step, run_id, settings)
    files = Workspace.of(settings, run_id)
    assert Progress.read(files).left == ("register",)
    return Packaged(settings, Path(shutil.copytree(files.root, root / "workspace")))


def breaking(settings: Settings, call: str, when: str, error: BaseException) -> dict[str, Step]:
    """The steps, the last of them over a client that breaks off; Unreachable is for good."""
    tracking = Tracking(settings)
    client = Client(tracking.client, call, when, error, for_good=isinstance(error, Unreachable))
    tracking.__dict__["client"] = client

    def register(workload: Workload, job: Job) -> None:
        assert isinstance(job.run, TrackedRun)
        run = TrackedRun(tracking, job.run.run_id, job.run.experiment_id)
        try:
            STEPS["register"](workload, dataclasses.replace(job, run=run))
        finally:
            assert client.broke, f"register does not call {call}: take it out of CALLS"

    return {**STEPS, "register": register}


@pytest.mark.parametrize(("call", "when"), MOMENTS)
def test_an_interrupted_registration_leaves_nothing(
    call: str, when: str, packaged: Packaged
) -> None:
    """Wherever it was: version, logged model and tag are gone, and the run can be gone on with."""
    run_id, settings = packaged.run(), packaged.settings
    steps = breaking(settings, call, when, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take("register", run_id, settings, steps=steps)
    versions, logged, tags = packaged.of(run_id)
    assert (versions, logged, "model_version" in tags) == ([], [], False)
    assert Tracking(settings).client.get_run(run_id).info.status == "KILLED"
    trained = resume(run_id, settings)
    assert packaged.of(run_id)[0] == [trained.version]


@pytest.mark.parametrize(("call", "when"), MOMENTS)
def test_a_registration_that_loses_mlflow_is_made_whole_later(
    call: str, when: str, packaged: Packaged
) -> None:
    """Nothing can be taken back then; what was made is found by the run, and nothing is twice."""
    run_id, settings = packaged.run(), packaged.settings
    steps = breaking(settings, call, when, Unreachable("gone"))
    with pytest.raises(Unreachable):
        take("register", run_id, settings, steps=steps)
    before, _, _ = packaged.of(run_id)
    trained = resume(run_id, settings)
    versions, logged, tags = packaged.of(run_id)
    assert versions == [trained.version]
    assert before in ([], versions)
    [only] = logged
    shown = Tracking(settings).client.get_logged_model(only).tags["mlflow.modelVersions"]
    assert f'"version": {trained.version}}}' in shown
    assert tags["model_version"] == str(trained.version)
