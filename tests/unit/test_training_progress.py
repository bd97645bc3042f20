"""How far a run has come, and the directory in which that is kept."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from registry.errors import StepFailed, UsageError
from training.commands import steps as commands
from training.progress import Progress
from training.steps import STEPS
from training.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
THREE = Progress.of(["load", "fit", "register"])


def test_each_step_that_is_done_is_taken_off_what_is_left():
    loaded = THREE.before("load").after("load", 1.5)
    assert (THREE.left, loaded.left) == (("load", "fit", "register"), ("fit", "register"))
    fitted = loaded.before("fit").after("fit", 2.0)
    assert (fitted.left, fitted.seconds) == (("register",), 3.5)
    assert fitted.after("register", 0.5).left == ()


def test_a_step_that_is_begun_again_undoes_what_followed_it():
    done = THREE.after("register", 1.0)
    assert done.before("fit").left == ("fit", "register")


def test_a_step_out_of_turn_says_what_is_missing():
    with pytest.raises(UsageError, match="register: .* not been through load, fit; run step load"):
        THREE.before("register")
    with pytest.raises(UsageError, match="step split: the run is made of load, fit, register"):
        THREE.before("split")


def test_it_is_kept_in_the_workspace(tmp_path: Path):
    workspace = Workspace(tmp_path)
    with pytest.raises(StepFailed, match="progress.json: not there"):
        Progress.read(workspace)
    THREE.after("load", 0.25).keep(workspace)
    assert Progress.read(workspace) == THREE.after("load", 0.25)


def test_a_file_that_cannot_be_written_wholly_is_not_written(tmp_path: Path):
    workspace = Workspace(tmp_path)
    workspace.write("progress.json", {"done": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        workspace.write("progress.json", {"done": float("nan")})
    assert workspace.read("progress.json") == {"done": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_workspace_is_held_by_one(tmp_path: Path):
    """And nobody comes to hold one that was removed meanwhile."""
    workspace = Workspace(tmp_path / "run").made()
    another = pytest.raises(UsageError, match="run run: another process works on it")
    with workspace.held(), another, workspace.held():
        pytest.fail("two hold it")
    with workspace.held():
        workspace.remove()
    with pytest.raises(UsageError, match="No such file"), workspace.held():
        pytest.fail("it is not there")


def test_a_workspace_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StepFailed, match="Not a directory"):
        Workspace(tmp_path / "file" / "run").made()


def test_the_commands_and_the_dags_know_the_steps():
    """They have lists of their own: help does not wait for pandas, and Airflow has none of it."""
    assert (*STEPS,) == commands.STEPS
    dags = (ROOT / "infra" / "airflow" / "dags" / "training.py").read_text(encoding="utf-8")
    [listed] = [
        ast.literal_eval(node.value)
        for node in ast.parse(dags).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STEPS"
    ]
    assert listed == (*STEPS,)
