"""Models that are asked for by what they forecast: their `ticker`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from registry.ledger import Route
from serving.access import Access, Rates
from serving.answer import Answer, Answerer
from serving.assignments import Assignment, Assignments
from serving.keys import KeyFile
from serving.node.aspired import Aspired
from serving.node.flip import Flipper
from serving.page import Page
from serving.protocols.baton import Baton, question
from tests.servingfakes.versions import assignment, entry, folder, route
from tests.servingfakes.workers import FakeLoader, FakeWorker

TICKERS = {"stock-lstm-MSFT": "MSFT", "stock-lstm-IBM": "IBM", "other": "IBM", "AAPL": "GOOG"}


@pytest.fixture
def answerer(tmp_path: Path) -> Iterator[Answerer]:
    """Four models, which echo what they are asked."""
    page = Page(tmp_path / "page")
    flipper = Flipper(page, Assignments(tmp_path / "assignments"), ready_seconds=1)
    for number, (model, ticker) in enumerate(TICKERS.items(), start=1):
        flipper.flip(replace(assignment(model, number, model=model), ticker=ticker))
    worker = FakeWorker(tmp_path, FakeLoader(predict=lambda body: {"predictions": [body]}))
    access = Access(KeyFile(tmp_path / "keys.json"), Rates(tmp_path / "rates"))
    yield Answerer(worker.manager, access, default_model="", max_body_bytes=10_000)
    worker.close()
    page.close()


def post(answerer: Answerer, body: Mapping[str, Any], model: str | None = None) -> Answer:
    headers = {"Content-Type": "application/json"}
    return answerer.answer(Baton(), model, json.dumps(body).encode(), headers.get)


def told(answer: Answer) -> tuple[int, Any]:
    """The model that answered what, or the status and the words of a refusal."""
    body = json.loads(answer.body)
    if answer.status == 200:
        return 200, (body["model"], body["predictions"][0])
    return answer.status, body["detail"]


def test_the_only_model_of_a_ticker_is_found_by_it(answerer: Answerer) -> None:
    answer = told(post(answerer, {"ticker": "MSFT", "days": 3}))
    assert answer == (200, ("stock-lstm-MSFT", {"days": 3}))
    assert told(post(answerer, {"ticker": "GOOG"}))[1][0] == "AAPL"
    assert told(post(answerer, {"ticker": "AAPL"}))[1][0] == "AAPL", "an exact name goes first"
    assert told(post(answerer, {"model": "other", "days": 3}))[1][0] == "other"


def test_several_models_of_a_ticker_are_listed(answerer: Answerer) -> None:
    status, said = told(post(answerer, {"ticker": "IBM", "days": 3}))
    assert status == 409
    assert "other, stock-lstm-IBM" in said


def test_a_ticker_of_nobody_is_unknown_and_what_there_is_is_listed(answerer: Answerer) -> None:
    status, said = told(post(answerer, {"ticker": "TSLA", "days": 3}))
    assert status == 404
    assert "'TSLA'" in said
    assert "stock-lstm-MSFT" in said


def test_a_ticker_may_stand_in_the_path(answerer: Answerer) -> None:
    read = partial(question, {"ticker": "IBM", "days": 3})
    answer = answerer.answer_question(Baton(), "IBM", read, lambda _: None)
    assert answer.status == 409
    read = partial(question, {"ticker": "stock-lstm-IBM", "days": 3})
    answer = answerer.answer_question(Baton(), "stock-lstm-IBM", read, lambda _: None)
    assert told(answer) == (200, ("stock-lstm-IBM", {"days": 3}))


def test_a_period_is_taken_and_changes_nothing(answerer: Answerer) -> None:
    body = {"ticker": "AAPL", "days": 3, "start_date": "2020-01-01", "end_date": "2026-11-02"}
    assert told(post(answerer, body)) == (200, ("AAPL", {"days": 3}))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"ticker": 5}, "ticker: expected a text, got integer 5"),
        ({"ticker": "AAPL", "model": "AAPL"}, "expected model or ticker, got both"),
        ({"ticker": "AAPL", "start_date": "yesterday"}, "start_date: expected a date"),
        ({"ticker": "AAPL", "end_date": 20260101}, "end_date: expected a text"),
    ],
)
def test_what_is_no_ticker_and_no_period_is_malformed(
    answerer: Answerer, body: Mapping[str, Any], said: str
) -> None:
    status, detail = told(post(answerer, body))
    assert (status, detail[: len(said)]) == (400, said)


def test_a_period_without_a_ticker_is_the_models_to_refuse(answerer: Answerer) -> None:
    body = {"model": "AAPL", "days": 3, "start_date": "2020-01-01"}
    assert told(post(answerer, body))[1][1] == {"days": 3, "start_date": "2020-01-01"}


def test_a_ticker_goes_from_the_entry_to_the_workers(tmp_path: Path) -> None:
    to = replace(route(folder(tmp_path / "v1", b"model")), ticker="IBM")
    assert Route.from_json(json.loads(json.dumps(to.to_json()))) == to
    made = Aspired.of(entry(to, 1)).assignment
    assert isinstance(made, Assignment)
    assert made.ticker == "IBM"


def test_an_entry_without_a_ticker_is_written_as_before_there_were_any(tmp_path: Path) -> None:
    """Else the hashes of a ledger that exists already would not be right any more."""
    assert "ticker" not in route(folder(tmp_path / "v1", b"model")).to_json()
