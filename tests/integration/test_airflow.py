"""The DAGs in a real Airflow: each step a task of its own, all of them one MLflow run.

Airflow has an environment of its own. `BATON_TEST_AIRFLOW=all` (`make nightly`) runs every DAG,
otherwise the smaller one runs.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.trainings import TINY
from tests.missing import ServiceMissing
from training.steps import STEPS
from training.tracking import Tracking
from training.workloads import get

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = ROOT / "var" / "environments" / "airflow" / "bin" / "airflow"
EVERY_DAG = os.environ.get("BATON_TEST_AIRFLOW") == "all"
WORKLOADS = ["iris", "petr4"] if EVERY_DAG else ["iris"]
PATIENCE_SECONDS = 280
# Stands in for Baton's interpreter: the first time, the step fails.
INTERPRETER = """#!/bin/sh
if [ "$3 $4" = "step {step}" ] && [ ! -e {marker} ]; then
  exec {python} -m tests.integration.failing_step {step} "$6" > {marker}
fi
exec {python} "$@"
"""


@dataclass(frozen=True)
class Airflow:
    """An Airflow with its database in a file, and an empty home of Baton's."""

    home: Path
    settings: Settings

    def call(self, *arguments: str, python: str = sys.executable) -> str:
        """A command of Airflow's in the environment of its workers; what it printed."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        done = subprocess.run(
            [str(AIRFLOW), *arguments],
            cwd=self.home,
            env={
                **own,
                "AIRFLOW_HOME": str(self.home),
                "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "infra" / "airflow" / "dags"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
                "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
                "BATON_PYTHON": python,
                "BATON_HOME": str(self.settings.home),
                "BATON_ENVIRONMENT": "test",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout

    def train(self, workload: str, *, python: str = sys.executable) -> dict[str, tuple[str, int]]:
        """Run the DAG of a workload; state and number of tries of each of its tasks."""
        options = " ".join(f"--param {k}={v}" for k, v in TINY[workload].items())
        conf = json.dumps({"options": options})
        self.call("dags", "test", f"train_{workload}", "--conf", conf, python=python)
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            found = database.execute(
                "SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ?",
                (f"train_{workload}",),
            )
            return {task: (state, tries) for task, state, tries in found}

    def only_run(self, workload: str) -> Any:
        """The one MLflow run of a workload."""
        client = Tracking(self.settings).client
        experiment = client.get_experiment_by_name(get(workload).about.experiment)
        [only] = client.search_runs([experiment.experiment_id])
        return only


@pytest.fixture
def airflow(tmp_path: Path) -> Airflow:
    """A new one."""
    if not AIRFLOW.exists():
        ServiceMissing("Airflow is not installed: make setup GROUP=airflow").skip_or_fail()
    made = Airflow(tmp_path / "airflow", embedded(tmp_path / "var"))
    made.home.mkdir()
    made.call("db", "migrate")
    return made


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_step_is_a_task_and_all_of_them_are_one_run(
    workload: str, airflow: Airflow, say: Callable[[str], None]
) -> None:
    """Parameters, metrics, and a version, in a run that is FINISHED."""
    tasks = airflow.train(workload)
    assert tasks == dict.fromkeys(["begin", *STEPS], ("success", 1))
    run = airflow.only_run(workload)
    assert run.info.status == "FINISHED"
    assert run.data.params.items() >= {k: str(v) for k, v in TINY[workload].items()}.items()
    assert get(workload).about.primary in run.data.metrics
    client = Tracking(airflow.settings).client
    [version] = client.search_model_versions()
    assert (int(version.version), version.run_id) == (1, run.info.run_id)
    assert run.data.tags["model_version"] == "1"
    say(f"Airflow: {workload} in {len(tasks)} tasks, one run, {run.info.status}, v1 registered")


@pytest.mark.timeout(600)
@pytest.mark.skipif(not EVERY_DAG, reason="BATON_TEST_AIRFLOW=all, as make nightly sets it")
def test_a_task_that_failed_is_tried_again_in_the_same_run(
    airflow: Airflow, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """In between the run was FAILED, with the name of the step."""
    marker, interpreter = tmp_path / "failed", tmp_path / "python"
    names = {"python": sys.executable, "marker": str(marker)}
    quoted = {name: shlex.quote(value) for name, value in names.items()}
    interpreter.write_text(INTERPRETER.format(step="fit", **quoted), encoding="utf-8")
    interpreter.chmod(0o755)
    tasks = airflow.train("iris", python=str(interpreter))
    assert json.loads(marker.read_text(encoding="utf-8")) == ["FAILED", "fit"]
    assert tasks.pop("fit") == ("success", 2)
    assert set(tasks.values()) == {("success", 1)}
    run = airflow.only_run("iris")
    assert (run.info.status, "baton.failed_step" in run.data.tags) == ("FINISHED", False)
    [version] = Tracking(airflow.settings).client.search_model_versions()
    assert version.run_id == run.info.run_id
    say("Airflow: a step that failed was tried again in the same run, which is FINISHED")
