"""Jobs with real workers, a real MLflow store, a real server: none is lost, none done twice."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from registry.jobs import JobKind, JobState
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from tests.integration.workers import Jobs, child_of
from tests.missing import ServiceMissing
from tests.servingfakes.node import Node, alive
from training import apart
from training.tracking import Tracking

# Some seconds, of which most pass after its run exists: time to be killed in.
IRIS = {"workload": "iris", "n_estimators": 5}


@pytest.fixture
def jobs(embedded: Settings) -> Iterator[Jobs]:
    queue = SqlJobs(embedded.jobs_url)
    yield Jobs(embedded, queue)
    queue.close()


def runs(jobs: Jobs, job: str) -> list[Any]:
    """The runs of a job, the first one first."""
    client = Tracking(jobs.settings).client
    where = [found.experiment_id for found in client.search_experiments()]
    found = client.search_runs(
        where, f"tags.`baton.job_id` = '{job}'", order_by=["attributes.start_time"]
    )
    return list(found)


def versions(jobs: Jobs) -> list[Any]:
    return list(Tracking(jobs.settings).client.search_model_versions())


def gone(pid: int) -> bool:
    """Whether a process ends by itself."""
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


@pytest.fixture
def node(jobs: Jobs) -> Iterator[Node]:
    node = Node(jobs.settings.home, workers=1)
    node.start()
    node.until(lambda: node.ask("GET", "/livez").status == 200, "the server is alive")
    yield node
    node.stop()


def ask(node: Node) -> tuple[str, str]:
    """A training over HTTP; its job, and its address."""
    reply = node.ask("POST", "/train", IRIS)
    assert (reply.status, reply.json["state"]) == (202, "queued")
    return reply.json["job_id"], reply.headers["Location"]


@pytest.mark.timeout(240)
def test_jobs_asked_for_over_http_survive_their_workers(jobs: Jobs, node: Node) -> None:
    """One worker is killed, one only stopped, others do what both have begun.

    Each job is finished by its second attempt, and each has one version: the process of the stopped
    worker trains to its end, and waits for a word before it registers.
    """
    asked = [ask(node), ask(node)]
    with jobs.worker() as killed, jobs.worker() as stopped:
        for job, _ in asked:
            jobs.until(job, lambda found: found.seen.run_id, "it has begun")
        children = {worker.pid: child_of(worker) for worker in (killed, stopped)}
        os.kill(stopped.pid, signal.SIGSTOP)
        killed.kill()
        assert gone(children[killed.pid]), "a process outlived its worker"
        with jobs.worker(), jobs.worker():
            for job, _ in asked:
                jobs.over(job)
        assert alive(children[stopped.pid]), "it has nobody to ask"
        os.kill(stopped.pid, signal.SIGCONT)
        assert gone(children[stopped.pid])
    made = {version.run_id: version for version in versions(jobs)}
    for job, url in asked:
        shown = node.ask("GET", url).json
        assert (shown["state"], shown["attempt"], shown["progress"]) == ("finished", 2, 1.0), shown
        assert (shown["model"], shown["version"]) == ("iris", str(made[shown["run_id"]].version))
        assert shown["metrics"]["accuracy"] > 0.8
        assert "iris: register" in shown["log"]
        assert shown["result"]["series"] == "iris"
        first, second = runs(jobs, job)
        assert (first.info.status, second.info.status) == ("KILLED", "FINISHED")
        assert second.info.run_id == shown["run_id"]
    assert len(made) == 2


@pytest.mark.timeout(240)
def test_jobs_are_cancelled_failed_and_given_back(jobs: Jobs) -> None:
    cancelled, wrong, stopped = (
        jobs.ask(JobKind.TRAIN, body) for body in (IRIS, {"workload": "irs"}, IRIS)
    )
    with jobs.worker() as worker:
        jobs.until(cancelled, lambda found: found.seen.run_id, "it has begun")
        child = child_of(worker)
        jobs.queue.cancel(cancelled)
        assert (jobs.over(cancelled).state, alive(child)) == (JobState.CANCELLED, False)
        reason = jobs.over(wrong).outcome.reason or ""
        assert "unknown workload 'irs'; there is: " in reason
        jobs.until(stopped, lambda found: found.seen.run_id, "it has begun")
        child = child_of(worker)
    assert (worker.returncode, alive(child)) == (0, False)
    assert jobs.job(stopped).state is JobState.QUEUED
    assert [runs(jobs, job)[0].info.status for job in (cancelled, stopped)] == ["KILLED"] * 2
    assert versions(jobs) == []


@pytest.mark.timeout(240)
def test_a_series_of_ones_own_is_learnt_and_forecast_and_not_registered(jobs: Jobs) -> None:
    if not apart.PYTHON.exists():
        ServiceMissing(f"make setup GROUP={apart.GROUP}").skip_or_fail()
    data = [100 + 10 * math.sin(day / 5) + day / 10 for day in range(80)]
    job = jobs.ask(
        JobKind.CUSTOM,
        {"data": data, "ticker": "OWN", "seq_length": 8, "epochs": 2, "days": 3},
    )
    with jobs.worker():
        ended = jobs.over(job)
    assert ended.state is JobState.FINISHED, (ended.outcome.reason, ended.seen.log)
    result = ended.outcome.result
    assert result
    days = {f"prediction_day_{day}" for day in (1, 2, 3)}
    errors = {"train_rmse", "test_rmse", "naive_test_rmse"}
    assert result.keys() == {
        *("ticker", "historical_data_points", "last_known_price", "train_size", "test_size"),
        *errors,
        *days,
    }
    assert (result["train_size"], result["test_size"]) == (64, 16)
    assert all(50 < result[day] < 200 for day in days)
    assert all(0 < result[error] < 100 for error in errors)
    [run] = runs(jobs, job)
    assert run.info.status == "FINISHED"
    assert (
        run.data.params.items()
        >= {
            "ticker_name": "OWN",
            "endpoint": "/predict-custom",
            "historical_data_points": "80",
            "last_known_price": str(data[-1]),
        }.items()
    )
    assert run.data.metrics.items() >= {name: result[name] for name in (*errors, *days)}.items()
    assert (versions(jobs), ended.outcome.model) == ([], None)
