"""The one function behind every prediction route: what comes back for which bytes."""

from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import SignatureMismatch
from serving import metrics
from serving.access import Access, Rates
from serving.answer import Answer, Answerer, trusted_id
from serving.assignments import Assignments
from serving.keys import KeyFile
from serving.node.flip import Flipper
from serving.page import Page
from serving.protocols.baton import Baton
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FakeLoader, FakeWorker

JSON = "application/json"


class Worker:
    """An answerer over models that echo their request, unless told otherwise."""

    def __init__(self, home: Path) -> None:
        self.page = Page(home / "page")
        self.flipper = Flipper(self.page, Assignments(home / "assignments"), ready_seconds=1)
        self.loader = FakeLoader(predict=lambda body: {"predictions": [body]})
        self.born: FakeWorker | None = None
        self._home = home

    def serve(self, *models: str) -> None:
        for number, model in enumerate(models, start=1):
            self.flipper.flip(assignment(model, number, model=model, version=number + 10))

    def ask(
        self,
        body: bytes | Mapping[str, Any],
        *,
        model: str | None = None,
        content_type: str | None = JSON,
        default_model: str = "",
        request_id: str | None = None,
    ) -> Answer:
        self.born = self.born or FakeWorker(self._home, self.loader)
        access = Access(KeyFile(self._home / "keys.json"), Rates(self._home / "rates"))
        answerer = Answerer(
            self.born.manager, access, default_model=default_model, max_body_bytes=10_000
        )
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "X-Request-Id": request_id}
        return answerer.answer(Baton(), model, text, headers.get)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    if made.born:
        made.born.close()
    made.page.close()


def document(answer: Answer, status: int) -> dict[str, Any]:
    """The problem document of a refusal, which must be a complete one."""
    body: dict[str, Any] = json.loads(answer.body)
    assert answer.status == status, body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= body.keys()
    assert (body["status"], body["request_id"]) == (status, answer.headers["X-Request-Id"])
    return body


def test_an_answer_names_its_version_in_body_and_headers(worker: Worker) -> None:
    worker.serve("iris")
    first, second = (worker.ask({"instances": [1]}, request_id="r-1") for _ in range(2))
    body = json.loads(first.body)
    assert first.status == 200
    assert body.pop("prediction_id") != json.loads(second.body)["prediction_id"]
    assert body == {"model": "iris", "version": "11", "predictions": [{"instances": [1]}]}
    expected = {"X-Model-Name": "iris", "X-Model-Version": "11", "X-Model-Seq": "1"}
    assert expected.items() <= first.headers.items()
    assert (first.headers["X-Request-Id"], first.headers["Content-Type"]) == ("r-1", JSON)


BAD_BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "something behind it": b"{} {}",
    "NaN": b'{"inputs": [NaN]}',
    "Infinity": b'{"inputs": [-Infinity]}',
    "a number beyond doubles": b'{"inputs": [1e999]}',
    "UTF-16": '{"inputs": [1]}'.encode("utf-16"),
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"inputs": "\xff"}',
    "a lone surrogate": b'{"inputs": "\\ud800"}',
    "single quotes": b"{'inputs': [1]}",
    "a comment": b"{} // all",
    "a list": b"[1]",
    "a text": b'"inputs"',
    "null": b"null",
    "101 deep": b'{"inputs": ' + b"[" * 100 + b"]" * 100 + b"}",
    "5000 deep": b"[" * 4900 + b"]" * 4900,
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_what_is_not_a_strict_json_object_is_malformed(worker: Worker, body: bytes) -> None:
    worker.serve("iris")
    assert document(worker.ask(body), 400)["detail"].startswith("body: ")


def test_a_body_a_hundred_deep_is_fine_and_so_are_many_brackets(worker: Worker) -> None:
    worker.serve("iris")
    assert worker.ask(b'{"inputs": ' + b"[" * 99 + b"]" * 99 + b"}").status == 200
    assert worker.ask({"inputs": [[1]] * 500}).status == 200
    assert worker.ask({"inputs": "[" * 500}).status == 200


def test_of_duplicate_keys_the_last_wins(worker: Worker) -> None:
    worker.serve("iris")
    answer = worker.ask(b'{"inputs": 1, "inputs": 2}')
    assert json.loads(answer.body)["predictions"] == [{"inputs": 2}]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ],
)
def test_another_content_type_is_unsupported(worker: Worker, content_type: str | None) -> None:
    worker.serve("iris")
    found = document(worker.ask({}, content_type=content_type), 415)
    assert found["detail"].startswith(
        f"Content-Type: expected {JSON}, got {content_type or 'none'}"
    )


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF8"',
        "application/vnd.model+json",
    ],
)
def test_json_by_any_of_its_names_is_read(worker: Worker, content_type: str) -> None:
    worker.serve("iris")
    assert worker.ask({}, content_type=content_type).status == 200


def test_a_body_over_the_limit_is_too_large(worker: Worker) -> None:
    worker.serve("iris")
    found = document(worker.ask({"inputs": "x" * 10_000}), 413)
    assert "at most 10000" in found["detail"]


def test_the_only_model_needs_no_name(worker: Worker) -> None:
    worker.serve("iris")
    assert worker.ask({}).headers["X-Model-Name"] == "iris"


def test_of_several_models_one_must_be_named(worker: Worker) -> None:
    worker.serve("petr4", "iris")
    assert "there is: iris, petr4" in document(worker.ask({}), 400)["detail"]


def test_a_model_is_named_in_the_path_the_body_or_the_settings(worker: Worker) -> None:
    worker.serve("petr4", "iris", "wine")
    asked = (
        worker.ask({"k": 1}, model="petr4"),
        worker.ask({"k": 1, "model": "iris"}),
        worker.ask({"k": 1}, default_model="wine"),
        worker.ask({"k": 1, "model": "iris"}, default_model="wine"),
    )
    assert [a.headers["X-Model-Name"] for a in asked] == ["petr4", "iris", "wine", "iris"]
    assert {str(json.loads(a.body)["predictions"]) for a in asked} == {"[{'k': 1}]"}


def test_a_model_name_that_is_no_text_is_malformed(worker: Worker) -> None:
    worker.serve("iris")
    assert (
        document(worker.ask({"model": 5}), 400)["detail"] == "model: expected a text, got integer 5"
    )


def test_a_model_that_is_not_served_is_not_found(worker: Worker) -> None:
    worker.serve("iris")
    assert "there is: iris" in document(worker.ask({}, model="wine"), 404)["detail"]


def test_before_anything_serves_the_client_is_told_when_to_come_again(worker: Worker) -> None:
    for model in (None, "iris"):
        answer = worker.ask({}, model=model)
        assert document(answer, 503)["detail"].startswith(f"{model or 'this node'}: no version")
        assert answer.headers["Retry-After"] == "1"


def _raise(error: Exception) -> Callable[[Any], Any]:
    def predict(_body: Any) -> Any:
        raise error

    return predict


def test_a_mismatch_names_field_expected_and_got_beside_the_version(worker: Worker) -> None:
    worker.loader.predict = _raise(SignatureMismatch("a[3]", expected="double", got="null"))
    worker.serve("iris")
    answer = worker.ask({})
    found = document(answer, 422)
    assert (found["field"], found["expected"], found["got"]) == ("a[3]", "double", "null")
    assert answer.headers["X-Model-Version"] == "11"


def test_a_crash_of_the_model_says_nothing_of_its_cause_but_the_log_does(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.loader.predict = _raise(ZeroDivisionError("secret cause"))
    worker.serve("iris")
    answer = worker.ask({}, request_id="find-me")
    found = document(answer, 500)
    assert found["detail"] == "the server failed to answer; its log has the request id"
    assert b"secret" not in answer.body
    assert answer.headers["X-Model-Version"] == "11"
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "secret cause" in caplog.text
    assert (record.__dict__["request_id"], record.__dict__["version"]) == ("find-me", "11")


@pytest.mark.parametrize("value", [object(), {1, 2}], ids=["object", "set"])
def test_an_answer_that_is_no_json_is_the_servers_fault(worker: Worker, value: object) -> None:
    worker.loader.predict = lambda _: {"predictions": [value]}
    worker.serve("iris")
    document(worker.ask({}), 500)


def test_arrays_are_answered_as_json_numbers(worker: Worker) -> None:
    worker.loader.predict = lambda _: {"predictions": np.float32([[0.5], [2]])}
    worker.serve("iris")
    assert json.loads(worker.ask({}).body)["predictions"] == [[0.5], [2.0]]


def test_a_request_id_of_the_agreed_form_is_kept_and_any_other_replaced() -> None:
    good = ["a", "A.b_c-9", "x" * 64]
    assert [trusted_id(text) for text in good] == good
    for bad in (None, "", "x" * 65, "a b", "a\n", "a\r\nX-Evil: 1", "é", "<script>"):
        made = trusted_id(bad)
        assert made != bad
        assert trusted_id(made) == made
    assert trusted_id(None) != trusted_id(None)


def test_requests_and_predictions_are_counted_by_model_version_and_status(worker: Worker) -> None:
    def count(series: str) -> float:
        lines = metrics.exposition(Path("does-not-exist"))[1].decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(f"{series} "))

    series = [
        'baton_requests_total{model="counted",status="200"}',
        'baton_requests_total{model="counted",status="500"}',
        'baton_predictions_total{model="counted"}',
        'baton_errors_total{error="internal",model="counted"}',
        'baton_request_seconds_count{model="counted"}',
        'baton_engine_seconds_count{model="counted"}',
    ]

    worker.loader.predict = lambda body: (
        {"predictions": [1, 2, 3]} if body else _raise(KeyError())(0)
    )
    worker.serve("counted")
    before = [count(one) for one in series]
    for body in ({"k": 1}, {"k": 1}, {}):
        worker.ask(body)
    after = [count(one) for one in series]
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 1, 6, 1, 3, 2]


def test_names_that_clients_invent_make_no_new_series(worker: Worker) -> None:
    worker.serve("iris")
    worker.ask({}, model="invented-by-a-client")
    assert b"invented" not in metrics.exposition(Path("does-not-exist"))[1]


def test_a_file_that_a_killed_worker_left_empty_does_not_break_the_metrics(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    (tmp_path / "histogram_2.db").write_bytes(b"\x10\x00\x00")
    content_type, text = metrics.exposition(tmp_path)
    assert content_type.startswith("text/plain")
    assert isinstance(text, bytes)


_KEY = b"no JSON!"
_NO_KEY = struct.pack("<iii8sdd", 8 + 4 + 8 + 16, 0, len(_KEY), _KEY, 1.0, 0.0).ljust(8192, b"\0")


@pytest.mark.parametrize("broken", [_NO_KEY, b"\x10\x20\x00\x00" + b"\xee" * 8188])
def test_a_broken_file_of_metrics_costs_that_file_and_never_the_page(
    tmp_path: Path, broken: bytes
) -> None:
    script = "from serving import metrics; metrics.SHED.inc(7)"
    environ = {**os.environ, metrics.MULTIPROCESS_VARIABLE: str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environ, check=True)
    (tmp_path / "counter_1.db").write_bytes(broken)
    assert b"baton_shed_total 7.0" in metrics.exposition(tmp_path)[1]
