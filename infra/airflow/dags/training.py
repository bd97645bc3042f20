"""Airflow's DAGs `train_iris` and `train_petr4`: every step of a training is a task, all one run.

`begin` makes the MLflow run and hands its id on by XCom; each task is a command of Baton's own
environment, which is not Airflow's. A task that fails marks the run FAILED; tried again, or
cleared, it goes on in the same run. All tasks need the same BATON_HOME, on a disk that all workers
see.

Read from the environment of Airflow's workers:

    BATON_ROOT    where Baton lies; default: the directory this file is in
    BATON_PYTHON  its interpreter; default: .venv/bin/python there

and whatever Baton itself reads (BATON_HOME, MLFLOW_TRACKING_URI, …).
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, chain

ROOT = Path(os.environ.get("BATON_ROOT") or Path(__file__).resolve().parents[3])
PYTHON = os.environ.get("BATON_PYTHON") or str(ROOT / ".venv" / "bin" / "python")
STEPS = ("load", "validate", "split", "fit", "evaluate", "package", "register")
# Triggered with {"options": "--series peyton_manning"}; words of a command, never a command.
OPTIONS = Param("", type="string", description="Further options of python -m training begin.")


def command(task_id: str, arguments: str, **environ: str) -> BashOperator:
    """A task that runs `python -m training …`; its last line on standard output is its XCom."""
    return BashOperator(
        task_id=task_id,
        bash_command=f"set -f; exec {shlex.quote(PYTHON)} -m training {arguments}",
        cwd=str(ROOT),
        env=environ,
        append_env=True,
    )


def training(workload: str) -> DAG:
    """The DAG of one workload."""
    with DAG(
        f"train_{workload}",
        description=f"Trains {workload} and registers a version.",
        schedule=None,
        catchup=False,
        default_args={"retries": 1},
        params={"options": OPTIONS},
        tags=["baton"],
    ) as dag:
        begin = command("begin", f"begin {workload} $OPTIONS", OPTIONS="{{ params.options }}")
        steps = [
            command(
                step,
                f'step {step} --run-id "$RUN_ID"',
                RUN_ID="{{ ti.xcom_pull(task_ids='begin') }}",
            )
            for step in STEPS
        ]
        chain(begin, *steps)
    return dag


train_iris = training("iris")
train_petr4 = training("petr4")
