"""The whole circle, with nobody in it: drift, alert, training, gates, promotion, no drift.

A clinic changes its camera. Everything that follows is done by what is shipped, as processes of
this machine: node, monitor, worker, Prometheus by the committed rules, Alertmanager by the
committed routes. Once the other camera's pictures come, the test only asks on and looks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.jobs import Job, JobState
from registry.ledger import Door
from registry.settings import Settings
from tests.contract.trainings import require
from tests.stack import clinic
from tests.stack.circle import Circle
from tests.stack.rules import ALERTMANAGER, loaded
from tests.stack.servers import Watching, alertmanager, committed, prometheus
from training.images.anatomy import CLASSES
from training.tracking import Tracking

MODEL = "eye-disease-model"
WINDOW_SECONDS = 10
LEARNT, ASKED = 160, 80  # pictures of each class
PARAMS = {"size": clinic.SIZE, "epochs": 24, "patience": 24}

GATES = f"""
[models.{MODEL}]
sources = ["folder"]
min_rows = {LEARNT * len(CLASSES)}
retrain = "on_drift"
promote = "auto"

[models.{MODEL}.train]
workload = "eye_disease"
source = "folder"
series = "clinic"
{"".join(f"{name} = {value}" + chr(10) for name, value in PARAMS.items())}
[[models.{MODEL}.gates]]
gate = "bound"
metric = "accuracy"
min = 0.5

[[models.{MODEL}.gates]]
gate = "not_worse"
metric = "accuracy"
min_ratio = 0.9

[[models.{MODEL}.gates]]
gate = "beats_baseline"
metric = "accuracy"
baseline = "majority"
min_ratio = 2.0
"""
# An hour is too long for a test, and the network too small to be as sure as one of 128 pixels.
RULES = f"""
[models.{MODEL}]
span_seconds = {3 * WINDOW_SECONDS}
off = ["confidence", "low_confidence"]
"""


@pytest.fixture
def baton(tmp_path: Path) -> Iterator[Circle]:
    require("eye_disease")
    made = Circle(tmp_path, model=MODEL, window_seconds=WINDOW_SECONDS, gates=GATES, rules=RULES)
    yield made
    made.queue.close()
    made.node.ledger.close()


def drift(watching: Watching) -> float | None:
    """What Prometheus knows of the rule: 1 raised, 0 fine, -1 unknown."""
    found = watching.query(f'baton_verdict{{rule="drift",model="{MODEL}"}}')
    return found[0][1] if found else None


def alert(manager: Watching) -> str | None:
    """How Alertmanager holds the alert of drift; None where it holds none."""
    found = manager.ask("/api/v2/alerts")
    states = {
        one["status"]["state"]
        for one in found
        if (one["labels"]["alertname"], one["labels"].get("model")) == ("BatonDrift", MODEL)
    }
    return states.pop() if states else None


@pytest.mark.timeout(1800)
def test_another_camera_is_noticed_learnt_and_served_with_no_hand_in_it(
    baton: Circle, tmp_path: Path
) -> None:
    kept = baton.data / "clinic"
    usual = clinic.Drawing.begin(kept, clinic.USUAL, each=LEARNT, seed=1)
    begun = [
        clinic.Drawing.begin(tmp_path / name, camera, each=each, seed=seed)
        for name, camera, each, seed in (
            ("labelled", clinic.OTHER, LEARNT, 1),
            ("before", clinic.USUAL, ASKED, 2),
            ("after", clinic.OTHER, ASKED, 2),
        )
    ]
    trained = baton.command(
        "training", "run", "eye_disease", f"--file={usual.done()}",
        *(f"--param={name}={value}" for name, value in PARAMS.items()),
    )  # fmt: skip
    labelled, before, after = begun
    assert baton.command("registry", "promote", MODEL, str(trained["version"]))["report"]["passed"]
    with contextlib.ExitStack() as running:
        manager = running.enter_context(
            alertmanager(tmp_path / "watching", loaded(ALERTMANAGER / "alertmanager.yml"))
        )
        addresses = {"monitor:9108": baton.monitor, "alertmanager:9093": manager.address}
        config = committed(tmp_path / "watching", addresses, hold="1s")
        watching = running.enter_context(prometheus(tmp_path / "watching", config))
        running.enter_context(baton.service("monitor"))
        running.enter_context(baton.service("worker"))
        running.enter_context(baton.serving())
        client = clinic.Client(baton.node, MODEL, before.bodies())
        other = after.bodies()
        with client.asking():
            baton.until(lambda: drift(watching) == 0, "pictures are as those that v1 learnt from")
            assert alert(manager) is None
            assert baton.jobs() == []
            # Meanwhile its doctors have labelled pictures of the new camera. The last hand in it.
            shutil.rmtree(kept)
            labelled.done().rename(kept)
            client.asked = other
            job = _followed(baton, watching, manager)
        assert client.failed == []
        baton.until(lambda: baton.logged() == client.answered, "each picture is logged once")
    _as_told(baton, job)


def _followed(baton: Circle, watching: Watching, manager: Watching) -> Job:
    """Look on, from the drift to its end; the job that was done between them."""
    baton.until(lambda: alert(manager) == "active", "the alert")
    [job] = baton.until(baton.jobs, "a training that follows")
    job = baton.until(lambda: _over(baton, job), "it is over")
    assert job.state is JobState.FINISHED, baton.said()
    baton.until(lambda: baton.head().door is Door.FOLLOWING, "it is promoted")
    baton.until(lambda: baton.serves() == job.outcome.version, "and served")
    baton.until(lambda: drift(watching) == 0, "pictures are as those that v2 learnt from")
    baton.until(lambda: alert(manager) is None, "the alert is over")
    assert isinstance(job, Job)
    return job


def _over(baton: Circle, job: Job) -> Job | None:
    found = baton.queue.job(job.id)
    return found if found and found.state.is_over else None


def _as_told(baton: Circle, job: Job) -> None:
    """One training for the drift, and one entry for its version, which was judged."""
    assert [one.id for one in baton.jobs()] == [job.id]
    lines = (baton.root / "monitor.log").read_text(encoding="utf-8").splitlines()
    cause = next(line for line in lines if f"job {job.id} trains" in line)
    assert "drift of" in cause
    second, first = baton.node.ledger.history(MODEL)
    assert (first.door, second.door) == (Door.COMMAND, Door.FOLLOWING)
    assert second.route is not None
    assert str(second.route.version) == job.outcome.version == "2"
    client = Tracking(dataclasses.replace(Settings(), home=baton.home).resolved()).client
    version = client.get_model_version(MODEL, "2")
    assert (version.current_stage, version.tags["baton.gates"]) == ("Production", "passed")
    run = client.get_run(version.run_id)
    assert run.data.tags["baton.job_id"] == job.id
    own, before = run.data.metrics["accuracy"], run.data.metrics["current_accuracy"]
    assert own >= 0.9 * before, "on the new camera's hold-out"
