"""Jobs with real workers, a real MLflow store, a real server: none is lost, none done twice."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
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

# Seconds of evaluation: time to be killed in.
SLOW = {"workload": "iris", "n_estimators": 300, "cv_folds": 10}
QUICK = {"workload": "iris", "n_estimators": 5}


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


@pytest.mark.timeout(240)
def test_a_job_asked_for_over_http_survives_its_worker(
    jobs: Jobs, say: Callable[[str], None]
) -> None:
    """POST → worker → kill -9 → another worker → GET: finished by attempt 2, one version."""
    home = jobs.settings.home
    node = Node(home, workers=1)
    node.start()
    node.until(lambda: node.ask("GET", "/livez").status == 200, "the server is alive")
    with jobs.worker() as second, jobs.worker() as first:
        reply = node.ask("POST", "/train", SLOW)
        assert (reply.status, reply.json["state"]) == (202, "queued")
        job, url = reply.json["job_id"], reply.headers["Location"]
        started = jobs.until(job, lambda found: found.seen.step == "evaluate", "it is evaluated")
        asked, taken = started.made_ms, started.started_ms
        assert taken
        mine = next(one for one in (first, second) if f":{one.pid}:" in (started.worker or ""))
        child = child_of(mine)
        mine.kill()
        deadline = time.monotonic() + 10
        while alive(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(child), "nobody would end it"
        jobs.over(job)
        shown = node.ask("GET", url).json
    node.stop()
    assert (shown["state"], shown["attempt"], shown["progress"]) == ("finished", 2, 1.0), shown
    assert (shown["model"], shown["version"]) == ("iris", "1")
    assert shown["metrics"]["accuracy"] > 0.8
    assert "iris: register" in shown["log"]
    assert shown["result"]["series"] == "iris"
    [version] = versions(jobs)
    killed, finished = runs(jobs, job)
    assert [run.info.status for run in (killed, finished)] == ["KILLED", "FINISHED"]
    assert version.run_id == finished.info.run_id == shown["run_id"]
    say(f"a job was taken up {taken - asked} ms after it was asked for")


@pytest.mark.timeout(240)
def test_a_worker_that_is_stopped_gives_back_and_a_cancel_ends_the_process(jobs: Jobs) -> None:
    job = jobs.ask(JobKind.TRAIN, SLOW)
    with jobs.worker() as worker:
        jobs.until(job, lambda found: found.seen.step == "evaluate", "it is evaluated")
        child = child_of(worker)
    assert (worker.returncode, alive(child)) == (0, False)
    assert jobs.job(job).state is JobState.QUEUED
    with jobs.worker() as worker:
        jobs.until(job, lambda f: f.attempt == 2 and f.seen.step == "evaluate", "it goes on")
        child = child_of(worker)
        jobs.queue.cancel(job)
        ended = jobs.over(job)
        assert (ended.state, alive(child)) == (JobState.CANCELLED, False)
        wrong = jobs.over(jobs.ask(JobKind.TRAIN, {"workload": "irs"}))
    assert wrong.state is JobState.FAILED
    assert "unknown workload 'irs'; there is: " in (wrong.outcome.reason or "")
    assert [run.info.status for run in runs(jobs, job)] == ["KILLED", "KILLED"]
    assert versions(jobs) == []


@pytest.mark.timeout(240)
def test_a_worker_that_was_only_stopped_may_not_register(jobs: Jobs) -> None:
    """It wakes up after another one has taken its job over: its process must end by itself."""
    job = jobs.ask(JobKind.TRAIN, SLOW)
    with jobs.worker() as stopped:
        jobs.until(job, lambda found: found.seen.step == "fit", "it learns")
        os.kill(stopped.pid, signal.SIGSTOP)  # its process trains on
        child = child_of(stopped)
        with jobs.worker():
            ended = jobs.over(job)
            assert alive(child), "it waits for its worker's word"
            os.kill(stopped.pid, signal.SIGCONT)
            deadline = time.monotonic() + 20
            while alive(child) and time.monotonic() < deadline:
                time.sleep(0.01)
        assert not alive(child)
    assert (ended.state, ended.attempt) == (JobState.FINISHED, 2)
    [version] = versions(jobs)
    assert version.run_id == ended.seen.run_id


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
