"""`begin`, `step` and `resume` as commands: what they print, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.typed import typed
from training.steps import STEPS
from training.tracking import Tracking

ROOT = Path(__file__).resolve().parents[2]
TINY = ("iris", "--param", "n_estimators=5")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty registry."""
    return embedded(tmp_path / "var")


def test_a_shell_can_own_the_order(settings: Settings) -> None:
    """`begin` prints the run's id and nothing else; the last step prints what was registered."""
    begun = typed(settings, "begin", *TINY)
    assert begun.exit_code == 0, begun.output
    run_id = begun.stdout.removesuffix("\n")
    client = Tracking(settings).client
    assert client.get_run(run_id).info.status == "RUNNING"
    early = typed(settings, "step", "fit", "--run-id", run_id, "--json")
    assert early.exit_code == 2, early.output
    assert "run step load first" in json.loads(early.stdout)["message"]
    for step in [*STEPS][:-1]:
        done = typed(settings, "step", step, "--run-id", run_id)
        assert (done.exit_code, done.stdout) == (0, ""), done.output
    last = typed(settings, "step", "register", "--run-id", run_id, "--json")
    assert last.exit_code == 0, last.output
    said = json.loads(last.stdout)
    assert (said["run_id"], said["version"]) == (run_id, 1)
    assert client.get_run(run_id).info.status == "FINISHED"
    again = typed(settings, "step", "register", "--run-id", run_id, "--json")
    assert (again.exit_code, json.loads(again.stdout)["done"]) == (0, "register")
    assert len(client.search_model_versions()) == 1
    over = typed(settings, "resume", run_id, "--json")
    assert (over.exit_code, "FINISHED" in json.loads(over.stdout)["message"]) == (2, True)


def test_a_run_that_fails_says_how_to_go_on(settings: Settings, tmp_path: Path) -> None:
    """And goes on so, when what was wrong with the data is mended."""
    flowers = tmp_path / "flowers.csv"
    header = "sepal_length,sepal_width,petal_length,petal_width,species"
    flowers.write_text(f"{header}\n5.1,3.5,1.4,oh,setosa\n", encoding="utf-8")
    failed = typed(settings, "run", *TINY, "--file", str(flowers))
    assert failed.exit_code == 5, failed.output
    [run_id] = (path.name for path in (settings.home / "runs").iterdir())
    assert f"run {run_id} is FAILED" in failed.stderr
    assert f"python -m training resume {run_id}" in failed.stderr
    rows = [
        f"{5 + kind + row / 50:.2f},3.{row % 10},{1 + 2 * kind},{0.2 + kind},{name}"
        for kind, name in enumerate(("setosa", "versicolor", "virginica"))
        for row in range(40)
    ]
    flowers.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    done = typed(settings, "resume", run_id, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["version"] == 1


def _unset() -> dict[str, str]:
    """The environment without what MLflow wrote into it."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}


def test_a_command_that_is_told_to_stop_says_how_the_run_is(settings: Settings) -> None:
    """SIGTERM is what an orchestrator sends: exit 130, KILLED, and how to go on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "run", *TINY],
        cwd=ROOT,
        env={**_unset(), "BATON_HOME": str(settings.home)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("iris: load"):
            process.send_signal(signal.SIGTERM)
            break
    said = process.stderr.read()
    assert process.wait(timeout=60) == 130, said
    [run_id] = (path.name for path in (settings.home / "runs").iterdir())
    assert "interrupted" in said
    assert f"run {run_id} is KILLED" in said
    assert f"python -m training resume {run_id}" in said
    assert Tracking(settings).client.get_run(run_id).info.status == "KILLED"
