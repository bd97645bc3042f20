"""What a worker writes down: a record of each answer and refusal, no more than may be kept."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from registry.errors import NotLogged
from registry.monitoring import Kept, Monitoring
from registry.predictions import Prediction
from serving import metrics
from serving.access import Access, Rates
from serving.answer import Answer, Answerer
from serving.assignments import Assignments
from serving.keys import KeyFile, Scope
from serving.logbook import Logbook
from serving.logged_values import MOST_BYTES, MOST_CELLS, confidence, dumped, kept
from serving.node.flip import Flipper
from serving.page import Page
from serving.protocols.baton import Baton, question
from serving.protocols.mlflow import Mlflow
from serving.protocols.v2 import V2
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FakeLoader, FakeWorker

KEY = b"k" * 32


class FakeSpool:
    """Keeps what is appended; `share` is how full it is."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.share = 0.0

    def append(self, record: bytes, *, within: float = 1.0) -> None:
        if self.share >= within:
            raise NotLogged("no room")
        self.texts.append(record)

    @property
    def records(self) -> list[Prediction]:
        return [Prediction(**orjson.loads(text)) for text in self.texts]


class Bench:
    """An answerer over one model that echoes what it is asked, and what it writes down."""

    def __init__(self, home: Path) -> None:
        self.home, self.spool = home, FakeSpool()
        self.page = Page(home / "page")
        flipper = Flipper(self.page, Assignments(home / "assignments"), ready_seconds=1)
        flipper.flip(assignment("d1", 1, model="iris", version=11))
        self.loader = FakeLoader(predict=lambda body: {"predictions": [body]})
        self.worker = FakeWorker(home, self.loader)
        self.monitoring, self.must_log = Monitoring(), True

    def answerer(self) -> Answerer:
        return Answerer(
            self.worker.manager,
            Access(KeyFile(self.home / "keys.json"), Rates(self.home / "rates")),
            default_model="",
            max_body_bytes=10_000,
            logbook=Logbook(self.spool, self.monitoring, key=KEY, must_log=self.must_log),
        )

    def ask(self, body: Mapping[str, Any], protocol: Any = None, **headers: str) -> Answer:
        said = {"Content-Type": "application/json"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        protocol = protocol or Baton()
        text = json.dumps(body).encode()
        return self.answerer().answer(protocol, "iris", text, said.get)

    def close(self) -> None:
        self.worker.close()
        self.page.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_an_answer_is_written_down_with_all_that_is_known_of_it(bench: Bench) -> None:
    answer = bench.ask({"inputs": [1, 2]}, X_Request_Id="r-1")
    [record] = bench.spool.records
    assert record.prediction_id == json.loads(answer.body)["prediction_id"]
    assert (record.model, record.version, record.epoch, record.seq) == ("iris", "11", 1, 1)
    assert (record.request_id, record.endpoint, record.method) == ("r-1", "baton", "POST")
    assert (record.digest, record.arm, record.status, record.error) == ("d1", "serve", 200, "")
    assert (record.inputs, record.rows) == ({"inputs": [1, 2]}, 1)
    assert record.outputs == {"predictions": [{"inputs": [1, 2]}]}
    assert 0 < record.latency_ms < 60_000
    assert (record.confidence, record.key_id, record.attempt_of) == (None, "", "")


def test_each_execution_has_an_id_of_its_own(bench: Bench) -> None:
    for _ in range(2):
        bench.ask({"inputs": [1]}, X_Request_Id="same")
    first, second = bench.spool.records
    assert first.prediction_id != second.prediction_id
    assert uuid.UUID(first.prediction_id).version == 4


def test_the_id_that_a_proxy_gave_is_kept_if_it_is_one(bench: Bench) -> None:
    bench.ask({"inputs": [1]}, X_Attempt_Of="abc")
    bench.ask({"inputs": [1]}, X_Attempt_Of="<script>")
    assert [one.attempt_of for one in bench.spool.records] == ["abc", ""]


def test_refusals_are_written_down_without_what_was_sent(bench: Bench) -> None:
    answer = bench.ask({"model": 5})
    assert answer.status == 400
    [record] = bench.spool.records
    assert (record.status, record.inputs, record.outputs) == (400, {}, {})
    assert record.error == "MalformedRequest: model: expected a text, got integer 5"
    assert (record.model, record.version, record.seq) == ("", "", None)


def test_a_model_s_own_fault_is_written_down_under_its_version(bench: Bench) -> None:
    def fails(_: object) -> object:
        raise KeyError("x" * 1000)

    bench.loader.predict = None
    bench.worker.manager.loaded("iris")._predict = fails  # type: ignore[union-attr]
    assert bench.ask({"inputs": [1]}).status == 500
    [record] = bench.spool.records
    assert (record.status, record.model, record.version) == (500, "iris", "11")
    assert record.error.startswith("KeyError: ")
    assert len(record.error) < 400


def test_each_protocol_and_the_shorthand_have_their_names(bench: Bench) -> None:
    bench.ask({"inputs": [1]}, Mlflow())
    bench.ask({"k": 1}, V2())
    shorthand = bench.answerer().answer_question(
        Baton(), "iris", lambda: question({"model": "iris", "days": 7}), {}.get
    )
    assert shorthand.status == 200
    told = [(one.endpoint, one.method, one.status) for one in bench.spool.records]
    assert told == [("mlflow", "POST", 200), ("v2", "POST", 400), ("shorthand", "GET", 200)]


def test_what_is_turned_away_before_it_is_read_is_written_down_too(bench: Bench) -> None:
    answer = Answer(503, {"X-Request-Id": "r-9"}, b"")
    bench.answerer().turned_away(Baton(), NotLogged("full"), {}.get, answer)
    [record] = bench.spool.records
    assert (record.status, record.request_id, record.error) == (503, "r-9", "NotLogged: full")


def test_who_asked_is_told_by_its_key(bench: Bench) -> None:
    secret = KeyFile(bench.home / "keys.json").add("shop", (Scope.PREDICT,))
    answer = bench.ask({"inputs": [1]}, Authorization=f"Bearer {secret}")
    assert answer.status == 200
    [record] = bench.spool.records
    assert f"baton_{record.key_id}_" in secret


def test_what_cannot_be_written_down_is_not_answered(bench: Bench) -> None:
    bench.spool.share = 1.0
    answer = bench.ask({"inputs": [1]})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert bench.spool.texts == []


def test_unless_it_may_be_dropped_which_is_counted(bench: Bench) -> None:
    bench.must_log, bench.spool.share = False, 1.0
    before = metrics.LOG_DROPPED._value.get()
    assert bench.ask({"inputs": [1]}).status == 200
    assert metrics.LOG_DROPPED._value.get() == before + 1


def test_refusals_never_fill_the_log_up_for_answers(bench: Bench) -> None:
    bench.spool.share = 0.6
    before = metrics.LOG_DROPPED._value.get()
    assert bench.ask({"model": 5}).status == 400
    assert (bench.spool.texts, metrics.LOG_DROPPED._value.get()) == ([], before + 1)
    assert bench.ask({"inputs": [1]}).status == 200
    assert len(bench.spool.texts) == 1


def test_columns_that_are_not_kept_or_hashed_are_nowhere_in_the_record(bench: Bench) -> None:
    keep = Kept(keep=frozenset({"name", "age"}), hash=frozenset({"name"}))
    bench.monitoring = Monitoring({"iris": keep})
    bench.worker.manager.loaded("iris")._predict = (  # type: ignore[union-attr]
        lambda body: {"predictions": [1]} if body["age"] != [1] else _raise(body["name"])
    )
    for age in (36, 1):
        bench.ask({"name": ["Ada", "Bob", "Ada"], "city": ["Ulm"], "age": [age]})
    first, second = bench.spool.records
    assert first.inputs["age"] == [36]
    assert first.inputs.keys() == {"age", "name"}
    ada, bob, again = first.inputs["name"]
    assert ada == again != bob
    assert len(ada) == 32
    assert second.error == "KeyError"
    for text in bench.spool.texts:
        assert not any(word in text for word in (b"Ada", b"Bob", b"Ulm"))


def test_of_a_series_its_last_value_is_told_unless_the_policy_is_private(bench: Bench) -> None:
    servable: Any = bench.worker.manager.loaded("iris")
    servable.facts = {"last_known_price": 31.5, "data_points": 60}
    bench.ask({"inputs": [1]})
    bench.monitoring = Monitoring({"iris": Kept(keep=frozenset({"inputs"}))})
    bench.ask({"inputs": [1]})
    told = [(record.last_known_price, record.data_points) for record in bench.spool.records]
    assert told == [(31.5, 60), (None, None)]


def _raise(value: object) -> object:
    raise KeyError(value)


def test_a_share_of_a_model_s_predictions_is_kept_and_all_attempts_of_one_or_none(
    bench: Bench,
) -> None:
    bench.monitoring = Monitoring({"iris": Kept(sample=0.5)})
    answerer = bench.answerer()
    said = {"Content-Type": "application/json"}
    for n in range(200):
        for _ in range(2):
            header = {**said, "X-Attempt-Of": f"a{n}"}.get
            answerer.answer(Baton(), "iris", b'{"inputs": [1]}', header)
    attempts = [one.attempt_of for one in bench.spool.records]
    assert 50 < len(set(attempts)) < 150
    assert all(attempts.count(one) == 2 for one in attempts)


def test_none_is_kept_of_a_model_whose_share_is_none(bench: Bench) -> None:
    bench.monitoring = Monitoring({"*": Kept(sample=0.0)})
    assert bench.ask({"inputs": [1]}).status == 200
    assert bench.spool.texts == []


def told(rows: int, **values: Any) -> Any:
    return orjson.loads(dumped({"rows": rows, "inputs": values, "outputs": {"y": [1]}}))


VALUES: Mapping[str, tuple[Any, Any]] = {
    "floats of 32 bits by their shortest digits": (np.float32([5.1, np.nan]), [5.1, None]),
    "a column of a matrix": (np.float32([[1, 2], [3, 4]]).T[0], [1.0, 3.0]),
    "texts": (np.array(["a", None], dtype=object), ["a", None]),
    "dates": (np.array(["2026-11-02"], dtype="datetime64[ns]"), ["2026-11-02T00:00:00"]),
    "truth": (np.array([True]), [True]),
    "rows of rows": (np.int64([[1, 2]]), [[1, 2]]),
    "bytes": ([b""], [{"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}]),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=VALUES)
def test_values_are_written_as_json(value: Any, expected: Any) -> None:
    assert told(1, x=value)["inputs"]["x"] == expected


@pytest.mark.parametrize("rows", [1, 1000])
def test_of_too_many_cells_shape_and_digest_are_kept(rows: int) -> None:
    half = MOST_CELLS // 2
    few = told(rows, a=np.zeros(half), b=[0] * half)
    assert (len(few["inputs"]["a"]), len(few["inputs"]["b"])) == (half, half)
    many = {"a": np.zeros((MOST_CELLS, 2)), "b": [[0, 1]] * 3, "c": np.array(["é"], dtype=object)}
    found = told(rows, **many)["inputs"]
    assert [found[name]["shape"] for name in many] == [[MOST_CELLS, 2], [3, 2], [1]]
    assert len({found[name]["sha256"] for name in many}) == 3
    assert told(rows, a=np.zeros((MOST_CELLS, 2)))["inputs"]["a"] == found["a"]
    assert told(rows, a=np.ones((MOST_CELLS, 2)))["inputs"]["a"] != found["a"]
    assert told(rows, a=np.zeros((MOST_CELLS, 2)))["outputs"] == {"y": [1]}


def test_a_record_that_is_large_without_many_cells_is_cut_too() -> None:
    found = told(1, text=["x" * MOST_BYTES])
    assert found["inputs"]["text"]["shape"] == [1]
    assert found["outputs"]["y"]["shape"] == [1]


def test_hashes_need_the_key_and_tell_equal_values_apart_from_others() -> None:
    policy = Kept(hash=frozenset({"x"}))
    values = {"x": np.array(["a", "b", "a", None], dtype=object), "n": 3}
    found, other = kept(values, policy, KEY), kept(values, policy, b"o" * 32)
    assert found["x"][0] == found["x"][2] != found["x"][1]
    assert (found["x"][3], found["n"]) == (None, 3)
    assert found["x"][0] != other["x"][0]
    assert kept({"x": 7}, policy, KEY)["x"] == kept({"x": 7}, policy, KEY)["x"] != 7


CONFIDENCES: Mapping[str, tuple[dict[str, Any], float | None]] = {
    "no probabilities": ({"yhat": [1.0]}, None),
    "several classes": ({"label": [1], "probabilities": np.float32([[0.25, 0.75]])}, 0.75),
    "the mean over rows": ({"probabilities": [[0.5, 0.5], [1.0, 0.0]]}, 0.75),
    "by name": ({"output_probability": [{"a": 0.9, "b": 0.1}]}, 0.9),
    "of one class": ({"prob": np.array([0.2, 0.6])}, 0.7),
    "of one class, in a column": ({"prob": np.array([[0.2]])}, 0.8),
    "many rows": ({"probabilities": np.full((500, 2), 0.5)}, 0.5),
    "a bit above one": ({"probabilities": [[1.0000001, 0.0]]}, 1.0),
    "numbers that are none": ({"probe": [7.0]}, None),
    "texts": ({"problem": ["no"]}, None),
    "nothing": ({"probabilities": []}, None),
}


@pytest.mark.parametrize(("outputs", "expected"), CONFIDENCES.values(), ids=CONFIDENCES)
def test_confidence_is_the_mean_of_the_highest_probability(
    outputs: dict[str, Any], expected: float | None
) -> None:
    assert confidence(outputs) == pytest.approx(expected)
