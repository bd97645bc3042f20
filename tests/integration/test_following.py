"""What follows, by the real queue, ledger and MLflow: drift, a job, its version in Production."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from registry.jobs import JobState, Outcome, Progress
from registry.ledger import Door
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from registry.verdicts import Verdict, VerdictState
from tests.integration.commands import MODEL, Registered
from tests.mlflow_home import MlflowTemplate
from training.following.actor import owner
from training.following.wired import following

FOLLOW = f"""
[models.{MODEL}]
retrain = "on_drift"
promote = "auto"
train = {{ workload = "iris" }}
"""


@pytest.fixture
def settings(mlflow_template: MlflowTemplate, tmp_path: Path) -> Settings:
    """Two versions are registered, and the first one serves."""
    registered = Registered.make(mlflow_template, tmp_path / "var")
    shell = registered.shell(tmp_path / "home")
    assert shell.call("promote", MODEL, "1").code == 0
    gates = tmp_path / "follow.toml"
    gates.write_text(FOLLOW)
    return dataclasses.replace(shell.settings, gates=gates)


def test_drift_ends_in_a_version_in_production(settings: Settings) -> None:
    raised = Verdict(
        model=MODEL, version=1, rule="psi", state=VerdictState.RAISED, window_end=3_600.0
    )
    actor, queue = following(settings), SqlJobs(settings.jobs_url)
    actor.step([raised])
    following(settings).step([raised])
    [job] = queue.newest(owner(MODEL), most=10)
    claim = queue.claim("worker", most_running=1)
    assert claim is not None
    assert claim.body == {"workload": "iris", "model": MODEL}
    made = Outcome(state=JobState.FINISHED, model=MODEL, version="2")
    assert queue.finish(claim.attempt, Progress(), made)
    actor.step([raised])
    head = actor._ports.ledger.head(MODEL)
    assert head is not None
    assert (head.door, head.route and head.route.version) == (Door.FOLLOWING, 2)
    assert actor._ports.client.snapshot(MODEL).production == {2}
    assert [one.id for one in queue.newest(None, most=10)] == [job.id]
    queue.close()
