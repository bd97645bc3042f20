"""Trainings asked for over HTTP, whose workers are killed or stopped: each comes to one version.

`BATON_TEST_JOB_KILLS` says how many (here one; every night 20, at random moments of the training).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from registry.jobs import Job
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from tests.integration.workers import IRIS, Jobs, child_of, gone
from tests.servingfakes.node import Node

KILLS = int(os.environ.get("BATON_TEST_JOB_KILLS", "1"))
MOST_SECONDS = 8.0
SEED = 5


@pytest.fixture
def jobs(embedded: Settings) -> Iterator[Jobs]:
    queue = SqlJobs(embedded.jobs_url)
    yield Jobs(embedded, queue)
    queue.close()


@pytest.fixture
def node(jobs: Jobs) -> Iterator[Node]:
    node = Node(jobs.settings.home, workers=1)
    node.start()
    node.until(lambda: node.ask("GET", "/livez").status == 200, "the server is alive")
    yield node
    node.stop()


def survived(jobs: Jobs, node: Node, fault: signal.Signals, seconds: float) -> Job:
    """Ask for a training, hit its worker that long after its run was seen, see what comes of it."""
    with jobs.worker() as one, jobs.worker() as other:
        reply = node.ask("POST", "/train", IRIS)
        assert (reply.status, reply.json["state"]) == (202, "queued")
        job, url = reply.json["job_id"], reply.headers["Location"]
        begun = jobs.until(job, lambda found: found.seen.run_id, "it has begun")
        hit = next(worker for worker in (one, other) if f":{worker.pid}:" in (begun.worker or ""))
        child = child_of(hit)
        time.sleep(seconds)
        os.kill(hit.pid, fault)
        assert fault is signal.SIGSTOP or gone(child), "it outlived its worker"
        ended = jobs.over(job)
        _go_on(hit, fault)
        assert gone(child)
        shown = node.ask("GET", url).json
    assert (shown["state"], shown["progress"]) == ("finished", 1.0), shown
    assert shown["metrics"]["accuracy"] > 0.8
    runs = {run.info.run_id: run.info.status for run in jobs.runs(job)}
    [version] = [found for found in jobs.versions() if found.run_id in runs]
    assert (shown["run_id"], shown["version"]) == (version.run_id, str(version.version))
    assert runs.pop(version.run_id) == "FINISHED"
    assert set(runs.values()) <= {"KILLED"}, runs
    return ended


def _go_on(worker: subprocess.Popen[bytes], fault: signal.Signals) -> None:
    """A worker that was stopped wakes up, and finds that its job is another's."""
    if fault is signal.SIGSTOP:
        os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.timeout(180 + 120 * KILLS)
def test_a_training_survives_its_worker(jobs: Jobs, node: Node, say: Callable[[str], None]) -> None:
    first = survived(jobs, node, signal.SIGKILL, 0.0)
    assert first.attempt == 2
    assert "iris: register" in first.seen.log
    chance = random.Random(SEED)  # noqa: S311
    attempts = [first.attempt]
    for number in range(1, KILLS):
        fault = (signal.SIGKILL, signal.SIGSTOP)[number % 2]
        attempts.append(survived(jobs, node, fault, chance.uniform(0, MOST_SECONDS)).attempt)
    again = sum(attempt == 2 for attempt in attempts)
    say(f"{KILLS} trainings, {again} of them in two attempts: one version each")
