"""stock_lstm: its version in a registry, and on a node that knows nothing of Keras."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.bundle import Bundle
from tests.contract.trainings import TINY, Setting
from tests.servingfakes.node import Node
from tests.servingfakes.versions import route

DAYS = TINY["stock_lstm"]["days"]


@pytest.fixture(scope="module")
def share(trained_once: Callable[[str], Setting]) -> Setting:
    return trained_once("stock_lstm")


@pytest.fixture(scope="module")
def node(share: Setting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("shares") / "var")
    node.promote(replace(route(share.version), ticker="MSFT"), model=share.trained.model)
    node.start()
    node.until(lambda: node.ask("GET", "/predict/MSFT?days=1").status == 200, "it is served")
    yield node
    node.stop()


def predictions(reply: Any) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    found: list[dict[str, Any]] = reply.json["predictions"]
    return found


def test_the_model_is_named_after_its_ticker(share: Setting) -> None:
    assert share.trained.model == "stock-lstm-MSFT"
    [version] = share.client.search_model_versions("name='stock-lstm-MSFT'")
    assert version.tags["ticker"] == "MSFT"


def test_the_run_has_its_curves_and_its_metrics(share: Setting) -> None:
    epochs = TINY["stock_lstm"]["epochs"]
    for curve in ("loss", "val_loss"):
        steps = share.client.get_metric_history(share.trained.run_id, curve)
        assert [one.step for one in steps] == [*range(epochs)]  # type: ignore[call-overload]
    metrics = share.trained.metrics
    assert metrics["data_points"] == 3270
    assert metrics["test_rmse"] == metrics["rmse"] > 0
    assert metrics["train_rmse"] > 0
    assert 10 < metrics["next_prediction"] < 100
    assert 0 <= metrics["directional_accuracy"] <= 1
    assert {"off_direct", "off_recursive"} <= metrics.keys()


def test_the_verdict_says_how_the_naive_forecast_did(share: Setting) -> None:
    assert share.trained.baselines.keys() == {"naive", "seasonal_naive"}
    assert "naive (" in share.trained.verdict


def test_a_bare_horizon_goes_on_from_the_last_day_of_the_data(node: Node) -> None:
    rows = predictions(node.ask("GET", "/predict/MSFT?days=5"))
    assert [row["ds"] for row in rows] == [
        "2013-03-04",
        "2013-03-05",
        "2013-03-06",
        "2013-03-07",
        "2013-03-08",
    ]
    assert all(row["yhat_lower"] < row["yhat_upper"] for row in rows)


def test_what_came_first_is_what_the_run_said(share: Setting, node: Node) -> None:
    [row] = predictions(node.ask("POST", "/predict", {"ticker": "MSFT", "days": 1}))
    assert row["yhat"] == pytest.approx(share.trained.metrics["next_prediction"], rel=1e-5)


def test_a_fresher_history_moves_the_forecast(share: Setting, node: Node) -> None:
    golden = Bundle.open(share.version).golden
    assert golden
    asked = dict(golden.examples[0]["request"])
    before = predictions(node.ask("POST", "/predict", asked))
    expected = [row["yhat"] for row in golden.examples[0]["response"]["predictions"]]
    assert [row["yhat"] for row in before] == pytest.approx(expected, rel=1e-4)
    dearer = [
        {name: value if name in ("ds", "volume") else 2 * value for name, value in row.items()}
        for row in asked["history"]
    ]
    after = predictions(node.ask("POST", "/predict", {**asked, "history": dearer}))
    ratio = [b["yhat"] / a["yhat"] for a, b in zip(before, after, strict=True)]
    assert ratio == pytest.approx([2] * len(before), rel=1e-4), "a share twice as dear"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"close": 0}, "history[119].close"),
        ({"close": -1.5}, "history[119].close"),
        ({"volume": "many"}, "history[119].volume"),
        ({"ds": "2010-01-01"}, "history[119].ds"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_its_place(
    share: Setting, node: Node, change: dict[str, Any], field: str
) -> None:
    golden = Bundle.open(share.version).golden
    assert golden
    asked = golden.examples[0]["request"]
    history = [*asked["history"][:-1], {**asked["history"][-1], **change}]
    reply = node.ask("POST", "/predict", {**asked, "history": history})
    assert (reply.status, reply.json["field"]) == (422, field)


def test_days_beyond_the_graph_are_refused(node: Node) -> None:
    reply = node.ask("GET", "/predict/MSFT?days=11")
    assert (reply.status, reply.json["expected"]) == (422, f"an integer from 1 to {DAYS}")


def test_graph_and_network_were_held_against_each_other(share: Setting) -> None:
    home = share.client.get_run(share.trained.run_id).info.artifact_uri.removeprefix("file://")
    proof = json.loads(Path(home, "parity.json").read_text(encoding="utf-8"))
    assert proof["windows"] > 50
    assert 0 <= proof["largest_relative_difference"] <= 1e-4
    scalers = json.loads(Path(home, "scalers.json").read_text(encoding="utf-8"))
    assert np.shape(scalers["features"]) == (2, len(scalers["columns"]))
