"""Jobs with real workers and a real MLflow store: cancelled, failed, given back, forecast."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from registry.jobs import JobKind, JobState
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from tests.integration.workers import IRIS, Jobs, child_of
from tests.missing import ServiceMissing
from tests.servingfakes.node import alive
from training import apart


@pytest.fixture
def jobs(embedded: Settings) -> Iterator[Jobs]:
    queue = SqlJobs(embedded.jobs_url)
    yield Jobs(embedded, queue)
    queue.close()


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
    assert [jobs.runs(job)[0].info.status for job in (cancelled, stopped)] == ["KILLED"] * 2
    assert jobs.versions() == []


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
    [run] = jobs.runs(job)
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
    assert (jobs.versions(), ended.outcome.model) == ([], None)
