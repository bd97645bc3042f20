"""Jobs over HTTP: who may ask, what is refused, and what a database that is away does not cost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from registry.errors import Unreachable
from registry.jobs import JobState, Outcome, Progress
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from serving.app import create_app
from serving.keys import KeyFile, Scope
from tests.servingfakes import models
from tests.servingfakes.lane_client import Client, LaneClient, Through
from tests.servingfakes.queues import AwayQueue, StuckQueue
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder

TRAIN = {"workload": "iris", "n_estimators": 5}
SERIES = {"data": [100.0 + day % 7 for day in range(60)], "epochs": 2}


class Counting:
    """Opens a queue, and knows how often."""

    def __init__(self, queue: Any) -> None:
        self.queue, self.times = queue, 0

    def __call__(self) -> Any:
        self.times += 1
        return self.queue


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("jobs")
    serve(made / "var", {"iris": folder(made / "iris", models.linear(3))})
    return made / "var"


@pytest.fixture(scope="module")
def keys(home: Path) -> dict[str, str]:
    file = KeyFile(home / "closed.json")
    return {
        "ada": file.add("ada", [Scope.TRAIN]),
        "bob": file.add("bob", [Scope.TRAIN, Scope.PREDICT]),
        "shop": file.add("shop", [Scope.PREDICT]),
        "root": file.add("root", [Scope.ADMIN]),
    }


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[SqlJobs]:
    made = SqlJobs(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield made
    made.close()


def app_of(home: Path, open_jobs: Any, **environ: str) -> Flask:
    return create_app(Settings.read({"BATON_HOME": str(home), **environ}), open_jobs=open_jobs)


@pytest.fixture
def client(home: Path, queue: SqlJobs, through: Through) -> Client:
    """A server without keys."""
    return through(app_of(home, lambda: queue, BATON_JOBS_PER_KEY="2"))


@pytest.fixture
def closed(
    home: Path, queue: SqlJobs, keys: dict[str, str], through: Through
) -> Callable[..., Any]:
    """A server with keys, asked as one of their owners."""
    app = app_of(home, lambda: queue, BATON_API_KEYS=str(home / "closed.json"))
    client = through(app)

    def ask(who: str, method: str, path: str, **asked: Any) -> Any:
        headers = {"Authorization": f"Bearer {keys[who]}"}
        return client.open(path, method=method, headers=headers, **asked)

    return ask


def test_a_training_is_accepted_with_an_address(client: Client) -> None:
    reply = client.post("/train", json=TRAIN)
    job = reply.json
    assert reply.status_code == 202
    assert uuid.UUID(job["job_id"])
    assert reply.headers["Location"] == job["url"] == f"/jobs/{job['job_id']}"
    assert (job["kind"], job["state"], job["request"]) == ("train", "queued", TRAIN)
    assert client.get(job["url"]).json == job


def test_a_series_is_accepted_and_not_repeated(client: Client) -> None:
    reply = client.post("/predict-custom", json=SERIES)
    assert (reply.status_code, reply.json["kind"]) == (202, "predict-custom")
    assert reply.json["request"] == {"data": "60 values", "epochs": 2}


def test_what_a_job_shows_is_finite_and_as_described(client: Client, queue: SqlJobs) -> None:
    url = client.post("/train", json=TRAIN).json["url"]
    claim = queue.claim("w", most_running=1)
    assert claim
    seen = Progress(step="fit", progress=0.4, run_id="r", metrics={"mae": None}, log=("a",))
    done = Outcome(state=JobState.FINISHED, result={"x": 1.5}, model="iris", version="2")
    queue.finish(claim.attempt, replace(seen, progress=1.0), done)
    job = client.get(url).json
    assert {name: job[name] for name in ("state", "step", "progress", "log", "metrics")} == {
        "state": "finished",
        "step": "fit",
        "progress": 1.0,
        "log": ["a"],
        "metrics": {"mae": None},
    }
    assert (job["model"], job["version"], job["result"], job["attempt"]) == (
        "iris",
        "2",
        {"x": 1.5},
        1,
    )
    described = client.get("/openapi.json").json["components"]["schemas"]["Job"]
    [listed] = client.get("/jobs").json["jobs"]
    for shown in (job, listed):
        Draft202012Validator(described).validate(shown)
    assert not {"log", "result"} & listed.keys()


class Unfinite:
    """A queue that a careless worker has filled."""

    def __init__(self, queue: SqlJobs) -> None:
        self._queue = queue

    def newest(self, *args: Any, **kwargs: Any) -> Any:
        found = self._queue.newest(*args, **kwargs)
        return [replace(job, seen=Progress(metrics={"mae": float("nan")})) for job in found]


def test_a_number_that_is_none_is_never_sent(home: Path, queue: SqlJobs, through: Through) -> None:
    through(app_of(home, lambda: queue)).post("/train", json=TRAIN)
    reply = through(app_of(home, lambda: Unfinite(queue))).get("/jobs")
    assert b"NaN" not in reply.data
    assert reply.json["jobs"][0]["metrics"] == {"mae": None}


def test_cancelling(client: Client, queue: SqlJobs) -> None:
    url = client.post("/train", json=TRAIN).json["url"]
    ended = client.open(url, method="DELETE")
    assert (ended.status_code, ended.json["state"]) == (200, "cancelled")
    again = client.open(url, method="DELETE")
    assert (again.status_code, "has ended" in again.json["detail"]) == (409, True)
    url = client.post("/train", json=TRAIN).json["url"]
    assert queue.claim("w", most_running=1)
    running = client.open(url, method="DELETE")
    assert (running.status_code, running.json["state"], running.json["cancelling"]) == (
        202,
        "running",
        True,
    )


def test_a_job_that_is_not_there_is_unknown(client: Client) -> None:
    for path in (f"/jobs/{uuid.uuid4()}", "/jobs/x", f"/jobs/{uuid.uuid4()}x"):
        assert client.get(path).status_code == 404, path
        assert client.open(path, method="DELETE").status_code == 404, path


def test_what_can_be_no_job_is_not_asked_for(home: Path) -> None:
    """PostgreSQL's driver, for one, breaks at a zero byte."""
    client = app_of(home, AwayQueue).test_client()
    assert client.get("/jobs/%00").status_code == 404


def test_one_idempotency_key_is_one_job(client: Client) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first = client.post("/train", json=TRAIN, headers=headers)
    again = client.post("/train", json=TRAIN, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json["job_id"] == first.json["job_id"]
    assert again.headers["Location"] == first.headers["Location"]
    other = client.post("/train", json={"workload": "wine"}, headers=headers)
    assert (other.status_code, first.json["job_id"] in other.json["detail"]) == (422, True)
    assert client.post("/predict-custom", json=SERIES, headers=headers).status_code == 422
    for wrong in ("", "a b", "x" * 201):
        reply = client.post("/train", json=TRAIN, headers={"Idempotency-Key": wrong})
        assert reply.status_code == 400, wrong


def test_too_many_jobs_are_told_to_come_back(client: Client) -> None:
    for _ in range(2):
        assert client.post("/train", json=TRAIN).status_code == 202
    reply = client.post("/train", json=TRAIN)
    assert (reply.status_code, int(reply.headers["Retry-After"]) > 0) == (429, True)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"[]", 400, None),
        (b'{"workload": NaN}', 400, None),
        (b'{"workload": "iris", "x": Infinity}', 400, None),
        (b'{"workload": "iris", "x": 1e999}', 400, None),
        (b"\xff", 400, None),
        (b"{}", 422, "workload"),
        (b'{"ticker": 5}', 422, "ticker"),
        (b'{"workload": "iris", "x": []}', 422, "x"),
        (b'{"workload": "' + b"x" * 1_100_000 + b'"}', 413, None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_cannot_be_is_refused(
    client: Client, body: bytes, status: int, field: str | None
) -> None:
    reply = client.post("/train", data=body, content_type="application/json")
    assert (reply.status_code, reply.content_type) == (status, "application/problem+json")
    assert reply.json.get("field") == field
    assert client.get("/jobs").json == {"jobs": []}


def test_only_json_is_read(client: Client) -> None:
    assert client.post("/train", data=b"workload=iris").status_code == 415
    assert client.get("/train").status_code == 405


def test_examples_of_the_description_are_accepted_and_what_does_not_fit_is_not(
    client: Client,
) -> None:
    paths = client.get("/openapi.json").json["paths"]
    bad: dict[str, list[Any]] = {
        "/train": [{}, {"seed": 1}, {"workload": ""}, {"ticker": "A", "x": []}],
        "/predict-custom": [{}, {"data": []}, {**SERIES, "days": 0}, {**SERIES, "x": 1}],
    }
    for path, bodies in bad.items():
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        validator = Draft202012Validator(content["schema"])
        validator.validate(content["example"])
        assert client.post(path, json=content["example"]).status_code == 202
        for body in bodies:
            assert not validator.is_valid(body), body
            assert client.post(path, json=body).status_code == 422, body


def test_asking_needs_the_scope_train(closed: Callable[..., Any]) -> None:
    for path, body in (("/train", TRAIN), ("/predict-custom", SERIES)):
        assert closed("shop", "POST", path, json=body).status_code == 403
        assert closed("root", "POST", path, json=body).status_code == 403
        assert closed("ada", "POST", path, json=body).status_code == 202
    assert closed("shop", "GET", "/jobs").status_code == 403


def test_a_key_sees_its_own_jobs_and_admin_sees_all(closed: Callable[..., Any]) -> None:
    url = closed("ada", "POST", "/train", json=TRAIN).json["url"]
    closed("bob", "POST", "/train", json=TRAIN)
    assert [len(closed(who, "GET", "/jobs").json["jobs"]) for who in ("ada", "bob", "root")] == [
        1,
        1,
        2,
    ]
    assert [closed(who, "GET", url).status_code for who in ("ada", "bob", "shop", "root")] == [
        200,
        404,
        403,
        200,
    ]
    assert closed("bob", "DELETE", url).status_code == 404
    assert closed("root", "DELETE", url).json["state"] == "cancelled"


def test_another_keys_idempotency_key_says_nothing_of_it(closed: Callable[..., Any]) -> None:
    ids = []
    for who, body in (("ada", TRAIN), ("bob", {"workload": "wine"})):
        keys = {"Idempotency-Key": "one"}
        with_key = closed(who, "POST", "/train", json=body)
        assert with_key.status_code == 202, keys
        ids.append(with_key.json["job_id"])
    assert len(set(ids)) == 2


def test_without_a_database_jobs_are_away_and_say_so_without_its_address(
    home: Path, through: Through
) -> None:
    client = through(app_of(home, AwayQueue))
    one = f"/jobs/{uuid.uuid4()}"
    asked = [("POST", "/train"), ("GET", "/jobs"), ("GET", one), ("DELETE", one)]
    for method, path in asked:
        reply = client.open(path, method=method, json=TRAIN)
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1"), path
        assert b"secret-host" not in reply.data
    assert client.post("/models/iris/predict", json={"instances": [[2]]}).status_code == 200


def test_a_queue_that_could_not_be_opened_is_opened_later(
    home: Path, queue: SqlJobs, through: Through
) -> None:
    found: list[Any] = []

    def opened() -> Any:
        if not found:
            raise Unreachable("queue of jobs: not yet")
        return found[0]

    client = through(app_of(home, opened))
    assert client.get("/jobs").status_code == 503
    found.append(queue)
    assert client.get("/jobs").status_code == 200


def test_the_queue_is_opened_by_the_first_who_asks_for_a_job(
    home: Path, queue: SqlJobs, through: Through
) -> None:
    opened = Counting(queue)
    client = through(app_of(home, opened))
    for path in ("/livez", "/models", "/openapi.json", "/metrics"):
        assert client.get(path).status_code == 200
    client.post("/train", json={})
    assert opened.times == 0
    for _ in range(3):
        client.get("/jobs")
    assert opened.times == 1


def test_without_a_queue_there_are_no_jobs(home: Path, through: Through) -> None:
    reply = through(app_of(home, None)).get("/jobs")
    assert (reply.status_code, "without a queue" in reply.json["detail"]) == (503, True)


@contextmanager
def stuck(home: Path, client: Callable[[Flask], Client]) -> Iterator[tuple[Flask, StuckQueue]]:
    """A server all of whose places for jobs wait for a database."""
    queue = StuckQueue()
    app = app_of(home, lambda: queue, BATON_THREADS="4")
    askers = [client(app) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(asker.get, "/jobs") for asker in askers]
        for _ in waiting:
            assert queue.inside.acquire(timeout=30)
        yield app, queue
        queue.go_on.set()
        assert [one.result().status_code for one in waiting] == [200, 200]


def test_on_gunicorns_threads_half_of_them_may_wait_for_the_database(home: Path) -> None:
    with stuck(home, lambda app: app.test_client()) as (app, _):
        client = app.test_client()
        reply = client.get("/jobs")
        assert (reply.status_code, "wait for the queue" in reply.json["detail"]) == (503, True)
        assert client.post("/models/iris/predict", json={"instances": [[2]]}).status_code == 200


def test_in_the_lane_neither_predictions_nor_health_wait_for_the_database(home: Path) -> None:
    queue = StuckQueue()
    first = LaneClient(app_of(home, lambda: queue, BATON_THREADS="4"))
    others = [_beside(first) for _ in range(7)]
    with ThreadPoolExecutor(5) as pool:
        paths = ("/jobs", "/jobs", "/%6Aobs", "http://here/jobs", "/jobs?x")
        asked = zip(others, paths, strict=False)
        waiting = [pool.submit(_get, port, path) for port, path in asked]
        for _ in range(2):
            assert queue.inside.acquire(timeout=30)
        time.sleep(0.2)  # the others are there, too
        begun = time.monotonic()
        for _ in range(3):
            assert first.get("/livez").status_code == 200
            assert first.get("/readyz").status_code == 200
            reply = first.post("/models/iris/predict", json={"instances": [[2]]})
            assert reply.status_code == 200
        took = time.monotonic() - begun
        queue.go_on.set()
        assert {one.result() for one in waiting} <= {200, 503}
    first.close()
    assert took < 10, "the database took until now"


def _beside(client: LaneClient) -> int:
    return client.port


def _get(port: int, path: str) -> int:
    import http.client  # noqa: PLC0415

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status
