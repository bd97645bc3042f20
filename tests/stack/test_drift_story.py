"""The whole circle, with nobody in it: drift, alert, training, gates, promotion, no drift.

A clinic changes its camera. Everything that follows is done by what is shipped, as processes of
this machine: node, monitor, worker, Prometheus by the committed rules, Alertmanager by the
committed routes. Once the other camera's pictures come, the test only asks on and looks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.node import free_port
from registry.jobs import Job, JobState
from registry.ledger import Door, Entry
from registry.process import die_with_parent
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from registry.sql_predictions import SqlPredictions
from tests.contract.trainings import require
from tests.servingfakes.node import ROOT, Node
from tests.stack import clinic
from tests.stack.rules import ALERTMANAGER, loaded
from tests.stack.servers import Watching, alertmanager, committed, prometheus
from training.following.actor import owner
from training.tracking import Tracking

MODEL = "eye-disease-model"
WINDOW_SECONDS = 10
# Of everything that is waited for: a training on two processors that have other work too.
PATIENCE_SECONDS = 400
LEARNT, ASKED = 640, 320  # pictures
PARAMS = {"size": clinic.SIZE, "epochs": 24, "patience": 24}

GATES = f"""
[models.{MODEL}]
sources = ["folder"]
min_rows = {LEARNT}
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


@dataclass
class Baton:
    """One home, the environment of all who work on it, and what they said."""

    root: Path
    monitor: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    def __post_init__(self) -> None:
        self.home, self.data = self.root / "home", self.root / "data"
        self.home.mkdir()
        self.data.mkdir()
        (self.root / "gates.toml").write_text(GATES, encoding="utf-8")
        (self.root / "rules.toml").write_text(RULES, encoding="utf-8")
        self.node = Node(self.home, environ=self.settings)
        self.queue = SqlJobs(f"sqlite:///{self.home / 'jobs.db'}")

    @property
    def settings(self) -> dict[str, str]:
        return {
            "BATON_HOME": str(self.home),
            "BATON_DATA": str(self.data),
            "BATON_GATES": str(self.root / "gates.toml"),
            "BATON_RULES": str(self.root / "rules.toml"),
            "BATON_WINDOW_SECONDS": str(WINDOW_SECONDS),
            "BATON_MONITOR_BIND": self.monitor,
            "BATON_ENVIRONMENT": "test",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.home / 'mlflow.db'}",
            "TF_NUM_INTRAOP_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def environ(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        return {**own, **self.settings}

    def command(self, *arguments: str) -> dict[str, Any]:
        """`python -m …arguments --json`, as a person types it."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments, "--json"],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr[-4000:]}"
        return dict(json.loads(done.stdout))

    @contextlib.contextmanager
    def service(self, name: str) -> Iterator[None]:
        """`python -m training NAME`, while the block lasts; it ends by itself when it is told."""
        with (self.root / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "training", name],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
            )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, self.said()
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        self.node.start()
        try:
            self.until(lambda: self.serves() == "1", "version 1 serves")
            yield
        finally:
            assert self.node.stop() == 0, self.said()

    def serves(self) -> str:
        """The version that the node answers with."""
        with contextlib.suppress(OSError):
            said = self.node.ask("GET", f"/models/{MODEL}")
            return str(said.json.get("version", "")) if said.status == 200 else ""
        return ""

    def jobs(self) -> list[Job]:
        """Those that nobody asked for."""
        return [*self.queue.newest(owner(MODEL), most=10)]

    def head(self) -> Entry:
        found = self.node.ledger.head(MODEL)
        assert found
        return found

    def logged(self) -> Counter[str]:
        """How many pictures of which version are in the prediction log."""
        log = SqlPredictions(f"sqlite:///{self.home / 'predictions.db'}")
        found: Counter[str] = Counter()
        for record in log.predictions(MODEL, 0, time.time()):
            found[record.version] += record.rows
        log.close()
        return found

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Wait for something to become true; returns it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if found := done():
                return found
            time.sleep(0.5)
        raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s\n{self.said()}")

    def said(self) -> str:
        """The ends of all logs."""
        logs = {path.name: path.read_text("utf-8", "replace") for path in self.root.glob("*.log")}
        logs["server.log"] = self.node.log()
        jobs = "\n".join(str(job.to_json()) for job in self.jobs())
        return jobs + "".join(f"\n--- {name}\n{text[-3000:]}" for name, text in logs.items())


@pytest.fixture
def baton(tmp_path: Path) -> Iterator[Baton]:
    require("eye_disease")
    made = Baton(tmp_path)
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


@pytest.mark.timeout(1200)
def test_another_camera_is_noticed_learnt_and_served_with_no_hand_in_it(
    baton: Baton, tmp_path: Path
) -> None:
    usual, other = (clinic.drawn(one, LEARNT, seed=1) for one in (clinic.USUAL, clinic.OTHER))
    clinic.label(baton.data / "clinic", usual)
    trained = baton.command(
        "training", "run", "eye_disease", f"--file={baton.data / 'clinic'}",
        *(f"--param={name}={value}" for name, value in PARAMS.items()),
    )  # fmt: skip
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
        asked = {
            camera: clinic.bodies(clinic.drawn(camera, ASKED, seed=2))
            for camera in (clinic.USUAL, clinic.OTHER)
        }
        client = clinic.Client(baton.node, MODEL, asked[clinic.USUAL])
        running.enter_context(client.asking())

        baton.until(lambda: drift(watching) == 0, "pictures are as those that were learnt from")
        assert alert(manager) is None
        assert baton.jobs() == []

        # Meanwhile its doctors have labelled pictures of the new camera. The last hand in it.
        clinic.label(baton.data / "clinic", other)
        client.asked = asked[clinic.OTHER]

        baton.until(lambda: alert(manager) == "active", "the alert")
        [job] = baton.until(baton.jobs, "a training that follows")
        job = baton.until(lambda: _over(baton, job), "it is over")
        assert job.state is JobState.FINISHED, baton.said()
        baton.until(lambda: baton.head().door is Door.FOLLOWING, "it is promoted")
        baton.until(lambda: baton.serves() == job.outcome.version, "and served")
        baton.until(lambda: drift(watching) == 0, "pictures are as those that v2 learnt from")
        baton.until(lambda: alert(manager) is None, "the alert is over")
        asked_of_v2 = client.answered["2"]
    assert client.failed == []
    assert asked_of_v2 >= 200
    assert baton.logged() == client.answered
    _as_told(baton, job)


def _over(baton: Baton, job: Job) -> Job | None:
    found = baton.queue.job(job.id)
    return found if found and found.state.is_over else None


def _as_told(baton: Baton, job: Job) -> None:
    """One training for the drift, and one entry for its version, which was judged."""
    assert [one.id for one in baton.jobs()] == [job.id]
    cause = next(line for line in baton.said().splitlines() if f"job {job.id} trains" in line)
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
