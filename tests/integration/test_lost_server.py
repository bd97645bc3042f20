"""The tracking server goes away in the middle of a training, and comes back: the run goes on."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import Unreachable
from registry.settings import Settings
from tests.cable import Cable
from tests.mlflow_home import MlflowTemplate
from training.job import Job, Plan
from training.pipeline import resume, run
from training.steps import STEPS
from training.tracking import Tracking
from training.workload import Workload

PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def cable(
    mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cable]:
    """To MLflow's own server, that keeps the artifacts too."""
    root = tmp_path_factory.mktemp("server")
    stored = mlflow_template.copy(root / "home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    store = [f"--backend-store-uri={stored.tracking_uri}", "--workers=1", "--serve-artifacts"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with root.joinpath("log").open("wb") as log:
        server = subprocess.Popen(
            [*command, *store, f"--artifacts-destination={root / 'artifacts'}"],
            stdout=log,
            stderr=log,
            env={**os.environ, **quiet},
        )
    try:
        _wait(port, server, root / "log")
        made = Cable(("127.0.0.1", port))
        yield made
        made.cut()
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE_SECONDS)


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"MLflow's server does not start: {log.read_text(errors='replace')[-2000:]}")


def test_a_run_whose_server_was_away_goes_on_when_it_is_back(
    cable: Cable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run could not be told what failed; the workspace knows. Nothing is registered twice."""
    step = "register"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # MLflow's client tries again
    server = "http://{}:{}".format(*cable.address)
    settings = dataclasses.replace(
        Settings(), home=tmp_path / "var", tracking_uri=server, ledger_url="sqlite://"
    ).resolved()
    plan = Plan.of("iris", settings, params={"n_estimators": 5}, experiment=step, model=step)

    def lost(workload: Workload, job: Job) -> None:
        cable.cut()
        STEPS[step](workload, job)

    with pytest.raises(Unreachable) as raised:
        run(plan, settings, steps={**STEPS, step: lost})
    cable.mend()
    client = Tracking(settings).client
    [broken] = client.search_runs([client.get_experiment_by_name(step).experiment_id])
    assert broken.info.status == "RUNNING"
    assert raised.value.__notes__ == [
        f"to go on with it: python -m training resume {broken.info.run_id}"
    ]
    trained = resume(broken.info.run_id, settings)
    done = client.get_run(trained.run_id)
    assert (done.info.run_id, done.info.status) == (broken.info.run_id, "FINISHED")
    assert done.data.metrics.items() >= trained.metrics.items()
    found = client.search_model_versions(f"name='{step}'")
    assert [(int(v.version), v.run_id) for v in found] == [(1, trained.run_id)]
