"""What a later attempt at a job makes of what an earlier one has left in MLflow."""

from __future__ import annotations

import dataclasses
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.errors import UnknownName, UsageError
from registry.job_bodies import TrainBody
from registry.jobs import JobKind
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.trainings import Setting
from training.jobs.channel import Channel, WorkerEnd
from training.jobs.earlier import end_run, registered
from training.jobs.task import Asked
from training.jobs.train import planned, train
from training.tracked_run import TrackedRun
from training.tracking import Tracking


@pytest.fixture(scope="module")
def iris(trained_once: Callable[[str], Setting]) -> Setting:
    return trained_once("iris")


def left(iris: Setting, job: str, status: str) -> None:
    """As if the worker had died right after the version was made."""
    iris.client.set_tag(iris.trained.run_id, "baton.job_id", job)
    iris.client.update_run(iris.trained.run_id, status=status)


def status(settings: Settings, run_id: str) -> str:
    return str(Tracking(settings).client.get_run(run_id).info.status)


@pytest.mark.parametrize("state", ["RUNNING", "KILLED"])
def test_a_version_that_was_registered_before_the_worker_died_is_the_jobs(
    iris: Setting, state: str
) -> None:
    job = str(uuid.uuid4())
    left(iris, job, state)
    here, there = socket.socketpair()
    asked = Asked(
        job=job, attempt=2, kind=JobKind.TRAIN, body={"workload": "iris", "n_estimators": 5}
    )
    done = train(asked, Channel(there), iris.settings)
    assert done == {"model": "iris", "version": str(iris.trained.version), "result": None}
    [told] = WorkerEnd(here).heard()
    assert told["run_id"] == iris.trained.run_id
    assert told["metrics"]["accuracy"] == iris.trained.metrics["accuracy"]
    assert status(iris.settings, iris.trained.run_id) == "FINISHED"
    assert len(iris.client.search_model_versions("name='iris'")) == 1
    here.close(), there.close()


def test_a_run_without_a_version_is_ended_and_no_more(tmp_path: Path) -> None:
    job = str(uuid.uuid4())
    tags = {"baton.job_id": job}
    settings, experiment = embedded(tmp_path / "var"), "iris"
    tracking = Tracking(settings)
    left = TrackedRun.start(tracking, experiment, run_name="left", tags=tags)
    failed = TrackedRun.start(tracking, experiment, run_name="failed", tags=tags)
    failed.finish("FAILED")
    other = TrackedRun.start(tracking, experiment, run_name="other", tags={})
    assert registered(settings, experiment, job) is None
    states = [status(settings, run.run_id) for run in (left, failed, other)]
    assert states == ["KILLED", "FAILED", "RUNNING"]
    end_run(settings, other.run_id, "FAILED")
    end_run(settings, left.run_id, "FAILED")
    assert [status(settings, run.run_id) for run in (left, other)] == ["KILLED", "FAILED"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return embedded(tmp_path_factory.mktemp("plans") / "var")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"ticker": "MSFT"}, ("stock_lstm", "stock-lstm-MSFT", "sample", "MSFT")),
        ({"ticker": "PETR4.SA"}, ("stock_lstm", "stock-lstm-PETR4.SA", "yahoo", "PETR4.SA")),
        ({"ticker": "MSFT", "source": "yahoo"}, ("stock_lstm", "stock-lstm-MSFT", "yahoo", "MSFT")),
        ({"ticker": "IBM", "workload": "petr4"}, ("petr4", "ProphetModel", "sample", "IBM")),
        ({"workload": "petr4", "model": "own"}, ("petr4", "own", "sample", "usd_brl")),
    ],
)
def test_what_a_request_means_as_a_plan(settings: Settings, body: Any, expected: Any) -> None:
    plan = planned(TrainBody.of(body), settings)
    assert (plan.workload, plan.model, plan.source, plan.series) == expected


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What an operator keeps for jobs, and beside it what nobody is to read."""
    kept = tmp_path / "data"
    (kept / "eyes").mkdir(parents=True)
    (kept / ".hidden").mkdir()
    for path in (kept / "prices.csv", kept / "notes.txt", tmp_path / "secrets.csv"):
        path.write_text("ds,y\n")
    return kept


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ({"workload": "petr4", "source": "csv", "series": "prices"}, "prices.csv"),
        ({"workload": "eye_disease", "source": "folder", "series": "eyes"}, "eyes"),
    ],
)
def test_a_job_finds_files_by_their_series_where_its_operator_keeps_them(
    settings: Settings, data: Path, asked: Any, file: str
) -> None:
    plan = planned(TrainBody.of(asked), dataclasses.replace(settings, data=str(data)))
    assert (plan.source, plan.series) == (asked["source"], asked["series"])
    assert plan.file == str(data / file)


@pytest.mark.parametrize(
    ("source", "series"),
    [
        *(("csv", name) for name in (None, "eyes", "notes", "../secrets", "/etc/passwd", "")),
        *(("folder", name) for name in (None, "prices.csv", ".hidden", "..", "../data", "eyes/")),
    ],
)
def test_a_job_names_no_path(settings: Settings, data: Path, source: str, series: Any) -> None:
    body = TrainBody(workload="eye_disease", source=source, series=series, params={})
    with pytest.raises(UnknownName, match=f"series of source {source} in BATON_DATA"):
        planned(body, dataclasses.replace(settings, data=str(data)))


@pytest.mark.parametrize("place", ["", "nowhere"])
def test_without_such_a_place_it_is_said(settings: Settings, place: str) -> None:
    body = TrainBody(workload="eye_disease", source="folder", series="eyes", params={})
    with pytest.raises(UsageError, match="BATON_DATA"):
        planned(body, dataclasses.replace(settings, data=place))


def test_the_rest_of_a_request_is_the_plans(settings: Settings) -> None:
    body = {"workload": "petr4", "seed": 7, "holdout_days": 30, "start_date": "2020-01-01"}
    plan = planned(TrainBody.of(body), settings)
    assert (plan.seed, plan.params["holdout_days"], plan.start_date) == (7, 30, "2020-01-01")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"workload": "irs"}, UnknownName),
        ({"workload": "iris", "depth": 3}, UnknownName),
        ({"workload": "iris", "series": "nothing"}, UnknownName),
        ({"workload": "iris", "n_estimators": "many"}, UsageError),
        ({"workload": "iris", "start_date": "2020-01-01"}, UsageError),
        ({"workload": "petr4", "source": "csv"}, UsageError),
        ({"workload": "petr4", "file": "secrets.csv"}, UnknownName),
        ({"workload": "mine.toml"}, UnknownName),
    ],
)
def test_what_no_workload_knows_is_found_out_by_the_worker(
    settings: Settings, body: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        planned(TrainBody.of(body), settings)
