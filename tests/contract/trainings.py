"""Workloads trained quickly, each where its libraries are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.settings import Settings
from tests.missing import ServiceMissing
from training import apart
from training.job import Plan
from training.pipeline import Trained, run
from training.tracking import Tracking
from training.workloads import get

ROOT = Path(__file__).resolve().parents[2]
# What makes a workload quick; one that is not named here is trained with its defaults.
TINY: Mapping[str, Mapping[str, object]] = {
    "digits": {"n_estimators": 10, "cv_folds": 2},
    "eye_disease": {"images": 80, "size": 32, "epochs": 3, "batch_size": 16, "patience": 3},
    "iris": {"n_estimators": 5},
    "petr4": {"history_rows": 250, "backtest_folds": 1},
    "stock_lstm": {"epochs": 2, "hidden_size": 8, "seq_length": 10, "days": 10, "num_layers": 1},
    "wine": {"n_estimators": 10, "cv_folds": 2},
}


@dataclass(frozen=True)
class Setting:
    """One workload, trained once for all tests.

    `last` is what was kept as trained last when it was; others went into the same registry since.
    """

    settings: Settings
    plan: Plan
    trained: Trained
    version: Path
    last: Mapping[str, Any]

    @property
    def client(self) -> Any:
        """MLflow's client of this store."""
        return Tracking(self.settings).client


def train(plan: Plan, settings: Settings) -> Trained:
    """Run the pipeline: here, or as a command that finds the environment with its libraries.

    Where there is none, see `require`.
    """
    require(plan.workload)
    if not apart.missing(get(plan.workload).about):
        return run(plan, settings)
    return _elsewhere(plan, settings)


def require(workload: str) -> None:
    """Skip the test, or fail it in CI, where a workload's libraries are in no environment."""
    if (missing := apart.missing(get(workload).about)) and not apart.PYTHON.exists():
        ServiceMissing(
            f"{workload} needs {', '.join(missing)}: make setup GROUP={apart.GROUP}"
        ).skip_or_fail()


def _elsewhere(plan: Plan, settings: Settings) -> Trained:
    """`python -m training run …`, as a person would type it."""
    params = [f"--param={name}={value}" for name, value in plan.params.items()]
    command = [sys.executable, "-m", "training", "run", plan.workload, "--json", *params]
    done = subprocess.run(
        [*command, f"--seed={plan.seed}", f"--source={plan.source}", f"--series={plan.series}"],
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))},
            "BATON_HOME": str(settings.home),
            "BATON_ENVIRONMENT": settings.environment,
            "TF_NUM_INTRAOP_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    return Trained(**{**said, "artifacts": tuple(said["artifacts"])})
