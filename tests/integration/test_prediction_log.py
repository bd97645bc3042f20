"""A real node writes down what it answered, ships it, and says so when it cannot."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servingfakes import models
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.node import Node, alive
from tests.servingfakes.prediction_logs import FileLog, lanes, logged
from tests.servingfakes.versions import folder, route

DROPPED = "baton_log_dropped_total"


@pytest.fixture
def log(tmp_path: Path) -> FileLog:
    return FileLog(tmp_path / "log.db")


@pytest.fixture
def node(tmp_path: Path, log: FileLog) -> Iterator[Node]:
    made = Node(tmp_path / "var", environ=log.environ)
    yield made
    if made.server:
        made.stop()


def started(node: Node, tmp_path: Path) -> Node:
    node.promote(route(folder(tmp_path / "v1", models.linear(1)), 1))
    node.start()
    node.until_serving(1)
    return node


def ids(log: FileLog) -> list[str]:
    return [one.prediction_id for one in log.records()]


@pytest.mark.parametrize("lane", ["on", "off"])
def test_each_route_that_predicts_is_written_down_with_what_it_was_asked(
    node: Node, log: FileLog, tmp_path: Path, lane: str
) -> None:
    node.environ["BATON_LANE"] = lane
    started(node, tmp_path)
    node.promote(route(prophet_folder(tmp_path / "petr4"), 1), model="petr4")
    node.until(lambda: node.ask("GET", "/predict/petr4?days=2").status == 200, "petr4 is served")
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [7]}
    asked = {
        "one": ("POST", "/models/iris/predict", {"instances": [[7.5]]}),
        "default": ("POST", "/predict", {"model": "iris", "inputs": {"x": [[7.0], [8.0]]}}),
        "v2": ("POST", "/v2/models/iris/infer", {"inputs": [tensor]}),
        "short": ("GET", "/predict/petr4?days=3", None),
        "mistake": ("POST", "/models/iris/predict", {"instances": [["a"]]}),
        "nobody": ("POST", "/models/nobody/predict", {"instances": [[1]]}),
        "mlflow": ("POST", "/invocations", {"inputs": [[1]]}),  # which of the two models?
    }
    replies = {
        name: node.ask(method, path, body, headers={"X-Request-Id": name})
        for name, (method, path, body) in asked.items()
    }

    def found() -> dict[str, object]:
        by_request = {one.request_id: one for one in log.records()}
        return by_request if asked.keys() <= by_request.keys() else {}

    records = node.until(found, "all is shipped")
    assert {n: records[n].status for n in asked} == {n: r.status for n, r in replies.items()}
    told = {n: (records[n].model, records[n].endpoint, records[n].method) for n in asked}
    assert told == {
        "one": ("iris", "baton", "POST"),
        "default": ("iris", "baton", "POST"),
        "v2": ("iris", "v2", "POST"),
        "short": ("petr4", "shorthand", "GET"),
        "mistake": ("iris", "baton", "POST"),
        "nobody": ("", "baton", "POST"),
        "mlflow": ("", "mlflow", "POST"),
    }
    one, short, mistake = records["one"], records["short"], records["mistake"]
    assert one.prediction_id == replies["one"].json["prediction_id"]
    assert (one.inputs, one.outputs, one.rows) == ({"x": [[7.5]]}, {"y": [[7.5]]}, 1)
    assert (one.version, one.seq, one.digest != "") == ("1", 1, True)
    assert records["default"].rows == 2
    assert records["v2"].prediction_id == replies["v2"].json["id"]
    assert (short.inputs, short.rows) == ({"days": 3}, 3)
    assert set(short.outputs) >= {"ds", "yhat"}
    assert (short.data_points or 0) > 1
    assert short.last_known_price is not None
    assert (mistake.inputs, mistake.error.partition(":")[0]) == ({}, "SignatureMismatch")
    assert len(set(ids(log))) == len(ids(log))


def test_a_bundle_is_written_down_too(node: Node, log: FileLog, tmp_path: Path) -> None:
    node.start("--bundle", str(folder(tmp_path / "iris", models.linear(3))))
    reply = node.until(lambda: (r := node.predict(2.0)).status == 200 and r, "it is served")
    node.until(lambda: reply.json["prediction_id"] in ids(log), "it is in the log")
    [record] = [one for one in log.records() if one.prediction_id == reply.json["prediction_id"]]
    assert (record.seq, record.epoch, record.outputs) == (None, None, {"y": [[6.0]]})


def test_where_nothing_is_logged_nothing_is_made(node: Node, tmp_path: Path) -> None:
    node.environ["BATON_PREDICTIONS_URL"] = "off"
    started(node, tmp_path)
    assert not (node.home / "spool").exists()
    assert not [said for said in node.processes().values() if "serving.shipping" in said]


def test_what_a_stopped_server_could_not_ship_the_next_one_ships(
    node: Node, log: FileLog, tmp_path: Path
) -> None:
    started(node, tmp_path)
    with log.away():
        answered = [node.predict().json["prediction_id"] for _ in range(20)]
        node.stop()
        assert not set(answered) & set(ids(log))
        assert lanes(node)
    node.start()
    node.until_serving(1)
    node.until(lambda: set(answered) <= set(ids(log)), "it is shipped")
    assert len(set(ids(log))) == len(ids(log))


def test_a_server_that_stops_ships_what_its_workers_wrote_last(
    node: Node, log: FileLog, tmp_path: Path
) -> None:
    started(node, tmp_path)
    answered = [node.predict().json["prediction_id"] for _ in range(20)]
    node.stop()
    assert set(answered) <= set(ids(log))
    assert lanes(node) == []


def test_a_server_and_its_shipper_that_were_killed_lose_nothing(
    node: Node, log: FileLog, tmp_path: Path
) -> None:
    started(node, tmp_path)
    answered = [node.predict().json["prediction_id"] for _ in range(20)]
    before = node.pid_of("serving.shipping")
    os.kill(before, signal.SIGKILL)
    answered += [node.predict().json["prediction_id"] for _ in range(20)]
    node.until(lambda: node.pid_of("serving.shipping") != before, "another shipper")
    answered += [node.predict().json["prediction_id"] for _ in range(20)]
    below = node.processes()
    assert node.server
    node.server.kill()
    node.server.wait()
    node.until(lambda: not any(map(alive, below)), "all of it is gone")
    node.start()
    node.until_serving(1)
    node.until(lambda: set(answered) <= set(ids(log)), "it is shipped")
    assert len(set(ids(log))) == len(ids(log))


@pytest.mark.parametrize("full", ["refuse", "drop"])
def test_a_full_spool_refuses_or_drops_until_the_log_is_back(
    node: Node, log: FileLog, tmp_path: Path, full: str
) -> None:
    node.environ |= {"BATON_SPOOL_MB": "1", "BATON_SPOOL_FULL": full}
    started(node, tmp_path)
    answered, refused = set(), 0
    body = {"instances": [[float(n)] for n in range(1000)]}
    with log.away():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and refused < 5 and not logged(node, DROPPED):
            reply = node.ask("POST", "/models/iris/predict", body)
            if reply.status == 200:
                answered.add(reply.json["prediction_id"])
                continue
            refused += 1
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
            assert "prediction log" in reply.json["detail"]
        assert logged(node, "baton_log_sink_up") == 0
        assert logged(node, "baton_log_spool_bytes") > 0
    assert bool(refused) == (full == "refuse")
    node.until(lambda: logged(node, "baton_log_sink_up") == 1, "the log is back")
    reply = node.until(
        lambda: (r := node.ask("POST", "/models/iris/predict", body)).status == 200 and r,
        "it answers again",
    )
    node.until(lambda: reply.json["prediction_id"] in ids(log), "and writes down again")
    missing = answered - set(ids(log))
    assert len(missing) == (0 if full == "refuse" else logged(node, DROPPED))


def test_only_a_trusted_proxy_says_what_is_an_attempt_of_what(
    node: Node, log: FileLog, tmp_path: Path
) -> None:
    said = {"X-Attempt-Of": "a1"}
    started(node, tmp_path)
    forged = node.ask("POST", "/models/iris/predict", {"instances": [[1]]}, headers=said)
    node.stop()
    node.environ["BATON_TRUSTED_PROXIES"] = "127.0.0.0/8"
    node.start()
    node.until_serving(1)
    told = node.ask("POST", "/models/iris/predict", {"instances": [[1]]}, headers=said)
    node.stop()
    attempts = {one.prediction_id: one.attempt_of for one in log.records()}
    assert attempts[forged.json["prediction_id"]] == ""
    assert attempts[told.json["prediction_id"]] == "a1"


def test_a_file_of_monitoring_that_is_not_understood_is_refused_at_the_start(
    node: Node, tmp_path: Path
) -> None:
    path = tmp_path / "monitoring.toml"
    path.write_text("[models.iris]\nsampel = 1", encoding="utf-8")
    node.environ["BATON_MONITORING"] = str(path)
    assert node.start().wait(timeout=60) == 2
    assert "unknown key 'sampel'" in node.log()
