"""Feedback over HTTP: who may tell, what is answered, and what a database that is away costs."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from registry.errors import SettingsError, Unreachable
from registry.outcomes import OfDate, OfPrediction, Outcomes
from registry.settings import Settings
from registry.sql_outcomes import SqlOutcomes
from serving.app import create_app
from serving.keys import KeyFile, Scope
from tests.servingfakes import models
from tests.servingfakes.lane_client import Client, LaneClient, Through
from tests.servingfakes.queues import StuckOutcomes
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder

GOOD = {"prediction_id": "p1", "actual": 1.5}
NOTHING = {"accepted": 0, "duplicate": 0, "unknown": 0, "contradicting": 0, "refused": 0, "late": 0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("feedback")
    serve(made / "var", {"iris": folder(made / "iris", models.linear(3))})
    return made / "var"


@pytest.fixture(scope="module")
def keys(home: Path) -> dict[str, str]:
    file = KeyFile(home / "closed.json")
    return {
        "shop": file.add("shop", [Scope.PREDICT]),
        "ada": file.add("ada", [Scope.TRAIN]),
        "root": file.add("root", [Scope.ADMIN]),
    }


@pytest.fixture
def outcomes(tmp_path: Path) -> Iterator[Outcomes]:
    """With two predictions in the log beside them."""
    file = tmp_path / "predictions.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE baton_predictions (prediction_id, rows, status, time)")
        database.executemany(
            "INSERT INTO baton_predictions VALUES (?, 1, 200, 2e9)", [("p1",), ("p2",)]
        )
    with closing(SqlOutcomes(f"sqlite:///{file}")) as made:
        yield made


def app_of(home: Path, open_outcomes: Callable[[], Outcomes] | None, **environ: str) -> Flask:
    settings = Settings.read({"BATON_HOME": str(home), **environ})
    return create_app(settings, open_outcomes=open_outcomes)


@pytest.fixture
def client(home: Path, outcomes: Outcomes, through: Through) -> Client:
    return through(app_of(home, lambda: outcomes, BATON_MAX_ROWS="5"))


def test_one_piece_or_a_list_is_counted(client: Client, outcomes: Outcomes) -> None:
    one = client.post("/feedback", json=GOOD)
    assert (one.status_code, one.content_type) == (200, "application/json")
    assert one.json == {**NOTHING, "accepted": 1, "notes": []}
    day = {"series": "USD/BRL", "date": "2026-11-02", "actual": 5.4}
    pieces = [GOOD, {**GOOD, "actual": 2}, {"prediction_id": "p9", "actual": "a"}, day, {}]
    several = client.post("/feedback", json=pieces).json
    assert several is not None
    notes = several.pop("notes")
    assert several == {
        **NOTHING,
        **dict.fromkeys(("accepted", "duplicate", "unknown", "contradicting", "refused"), 1),
    }
    assert [(note["index"], note["class"]) for note in notes] == [
        (1, "contradicting"),
        (4, "refused"),
    ]
    [kept] = outcomes.of_predictions(["p1"]).values()
    assert (kept.value, kept.by, kept.about) == (1.5, "", OfPrediction("p1"))
    assert outcomes.of_dates("USD/BRL", ["2026-11-02"]).keys() == {"2026-11-02"}


def test_a_models_date_is_kept_under_what_it_forecasts(client: Client, outcomes: Outcomes) -> None:
    body = {"model": "iris", "date": "2026-11-02", "actual": 1}
    assert client.post("/feedback", json=body).json["accepted"] == 1  # type: ignore[index]
    assert outcomes.history(OfDate("iris", "2026-11-02")), "it has no ticker"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"5", 400),
        (b'{"actual": NaN}', 400),
        (b"\xff", 400),
        (b"[" * 200 + b"]" * 200, 400),
        (b"[1,2,3,4,5,6]", 413),
        (b"[]", 200),
        (b"[1,2,3,4,5]", 200),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_body_that_cannot_be_is_refused(client: Client, body: bytes, status: int) -> None:
    reply = client.post("/feedback", data=body, content_type="application/json")
    assert reply.status_code == status, reply.text


def test_only_json_is_read_and_only_posted(client: Client) -> None:
    assert client.post("/feedback", data=b"a=1").status_code == 415
    assert client.get("/feedback").status_code == 405


def test_what_is_answered_and_taken_is_as_described(client: Client) -> None:
    described = client.get("/openapi.json").json["paths"]["/feedback"]["post"]  # type: ignore[index]
    content = described["requestBody"]["content"]["application/json"]
    taken = Draft202012Validator(content["schema"])
    day = {"series": "s", "date": "2026-11-02", "actual": "a", "at": "2026-11-02", "correct": True}
    for body in (content["example"], GOOD, [GOOD, {**GOOD, "row": 0}], day, []):
        taken.validate(body)
        reply = client.post("/feedback", json=body)
        answered = described["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(answered).validate(reply.json)
        assert reply.json["refused"] == 0, (body, reply.json)  # type: ignore[index]
    for body in ({}, {"actual": 1}, {**GOOD, "x": 1}, {**GOOD, "row": -1}, {**GOOD, "actual": []}):
        assert not taken.is_valid(body), body
        assert client.post("/feedback", json=body).json["refused"] == 1, body  # type: ignore[index]


def test_it_is_counted(client: Client) -> None:
    def counted() -> list[str]:
        lines = client.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith('baton_feedback_total{class="dup')]

    client.post("/feedback", json=[GOOD, GOOD])
    before = counted()
    assert before
    client.post("/feedback", json=GOOD)
    assert counted() != before


def test_telling_needs_the_scope_predict_and_says_who(
    home: Path, outcomes: Outcomes, keys: dict[str, str], through: Through
) -> None:
    client = through(app_of(home, lambda: outcomes, BATON_API_KEYS=str(home / "closed.json")))

    def tell(who: str | None) -> int:
        headers = {"Authorization": f"Bearer {keys[who]}"} if who else {}
        return client.post("/feedback", json=GOOD, headers=headers).status_code

    assert [tell(who) for who in (None, "ada", "root", "shop")] == [401, 403, 403, 200]
    [kept] = outcomes.of_predictions(["p1"]).values()
    assert kept.by == keys["shop"].split("_")[1]


class Away:
    """Its database answers nobody."""

    def __getattr__(self, _name: str) -> Any:
        raise Unreachable("store of outcomes: secret-host refused")


@pytest.mark.parametrize("where", ["asking", "opening", "off", "without"])
def test_away_it_says_when_to_come_back_and_not_where_it_is(
    home: Path, outcomes: Outcomes, through: Through, where: str
) -> None:
    def opened() -> Outcomes:
        if where == "opening":
            raise Unreachable("store of outcomes: secret-host refused")
        if where == "off":
            raise SettingsError("BATON_PREDICTIONS_URL: off at secret-host")
        away: Any = Away()
        return away

    client = through(app_of(home, None if where == "without" else opened))
    reply = client.post("/feedback", json=GOOD)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
    assert b"secret-host" not in reply.data
    assert outcomes.of_predictions(["p1"]) == {}
    assert client.post("/models/iris/predict", json={"instances": [[2]]}).status_code == 200


def test_who_waits_for_it_holds_up_nobody_else(home: Path) -> None:
    stuck = StuckOutcomes()
    app = app_of(home, lambda: stuck, BATON_THREADS="4")
    with closing(LaneClient(app)) as client, ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(_tell, client.port)
            assert stuck.inside.acquire(timeout=30)
            assert client.post("/models/iris/predict", json={"instances": [[2]]}).status_code == 200
            assert client.get("/livez").status_code == 200
            assert client.get("/jobs").status_code == 503, "jobs have threads of their own"
            assert not first.done()
        finally:
            stuck.go_on.set()
        assert first.result() == 200


def test_on_gunicorns_threads_a_quarter_of_them_may_wait(home: Path) -> None:
    stuck = StuckOutcomes()
    app = app_of(home, lambda: stuck, BATON_THREADS="4")
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(lambda: app.test_client().post("/feedback", json=GOOD).status_code)
            assert stuck.inside.acquire(timeout=30)
            reply = app.test_client().post("/feedback", json=GOOD)
            assert (reply.status_code, "wait for the store" in reply.json["detail"]) == (503, True)
        finally:
            stuck.go_on.set()
        assert first.result() == 200


def _tell(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/feedback", json.dumps(GOOD), headers)
    status = connection.getresponse().status
    connection.close()
    return status
