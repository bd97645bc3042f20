"""How long a job waits for a worker that has nothing else to do."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from benchmarks.node import ROOT, CommandFailed, Node
from registry.jobs import Job, JobKind, JobRequest
from registry.process import die_with_parent
from registry.settings import Settings
from registry.sql_jobs import SqlJobs

_DEADLINE_SECONDS = 120.0


def measure(home: Path, *, jobs: int) -> list[float]:
    """Seconds from when each of `jobs` is in the queue until a worker has claimed it.

    They are asked for one at a time, at random moments; what they ask for does not exist, so that
    each ends soon.
    """
    node = Node(home)
    queue = SqlJobs(Settings.read(node.environ).jobs_url)
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "training", "worker"],
            cwd=ROOT,
            env=node.environ,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
        )
    try:
        _done(queue)  # the worker is there
        return [_waited(_done(queue)) for _ in range(jobs)]
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=60)


def _done(queue: SqlJobs) -> Job:
    """A job that has ended."""
    time.sleep(random.random())
    request = JobRequest(
        id=str(uuid.uuid4()), kind=JobKind.TRAIN, owner="", body={"workload": "none"}
    )
    queue.enqueue(request, most_live=1)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = queue.job(request.id)
        if found is not None and found.state.is_over:
            return found
        time.sleep(0.05)
    raise CommandFailed(f"job {request.id} had not ended after {_DEADLINE_SECONDS:g} s")


def _waited(job: Job) -> float:
    if job.started_ms is None:
        raise CommandFailed(f"job {job.id}: {job.state}, and no worker has claimed it")
    return (job.started_ms - job.made_ms) / 1000
