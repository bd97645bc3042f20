"""Workers of jobs as real processes, on a home of a test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import children
from registry.jobs import Job, JobKind, JobRequest
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from tests.servingfakes.node import alive
from training.tracking import Tracking

# Some seconds, of which most pass after its run exists: time to be killed in.
IRIS = {"workload": "iris", "n_estimators": 5}
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Jobs:
    """A home with an MLflow store and a queue, and those who work there."""

    settings: Settings
    queue: SqlJobs

    @property
    def environ(self) -> dict[str, str]:
        """Of every process that works here."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        return {
            **own,
            "BATON_HOME": str(self.settings.home),
            "BATON_ENVIRONMENT": "test",
            "TF_NUM_INTRAOP_THREADS": "1",
        }

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker, until the block ends; it is killed if it does not end by itself."""
        with (self.settings.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "training", "worker"],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()

    def ask(self, kind: JobKind, body: Mapping[str, Any]) -> str:
        """Put a job into the queue, as a route does."""
        request = JobRequest(id=str(uuid.uuid4()), kind=kind, owner="", body=body)
        return self.queue.enqueue(request, most_live=9)[0].id

    def job(self, job: str) -> Job:
        """A job as it is now."""
        found = self.queue.job(job)
        assert found
        return found

    def until(self, job: str, done: Callable[[Job], Any], what: str) -> Job:
        """Wait until a job is as wanted."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if done(found := self.job(job)):
                return found
            time.sleep(0.05)
        said = (self.settings.home / "worker.log").read_text()
        raise AssertionError(f"{what}: not yet {self.job(job)}\n{said[-4000:]}")

    def runs(self, job: str) -> list[Any]:
        """The runs of a job, the first one first."""
        client = Tracking(self.settings).client
        where = [found.experiment_id for found in client.search_experiments()]
        mine = f"tags.`baton.job_id` = '{job}'"
        return list(client.search_runs(where, mine, order_by=["attributes.start_time"]))

    def versions(self) -> list[Any]:
        """Every version of every model."""
        return list(Tracking(self.settings).client.search_model_versions())

    def over(self, job: str) -> Job:
        """Wait until a job has ended."""
        return self.until(job, lambda found: found.state.is_over, "it ends")


def gone(pid: int) -> bool:
    """Whether a process ends by itself."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def child_of(worker: subprocess.Popen[bytes]) -> int:
    """The process of the job that a worker does."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if found := children(worker.pid):
            return int(found[0])
        time.sleep(0.02)
    raise AssertionError("the worker does no job")
