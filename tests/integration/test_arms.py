"""A real node in a split and in a shadow, under a steady load: every promise of a swap holds."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.checker import unlogged, violations
from benchmarks.load import Load
from benchmarks.versions import Versions, predict
from registry.ledger import Role, Route
from registry.predictions import Prediction
from registry.sql_predictions import SqlPredictions
from serving.assignments import Arm
from serving.node.aspired import Aspired
from tests.servingfakes.node import Node, Reply
from tests.servingfakes.prediction_logs import logged
from tests.servingfakes.versions import beside

RATE = 200
CONNECTIONS = 4
SHARE = 0.3
USER = "X-User-Id"
TENSOR = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [7]}]}


@pytest.fixture
def routes(tmp_path: Path) -> dict[int, Route]:
    made = Versions(tmp_path)
    return {n: made.route(n) for n in (1, 2)}


@pytest.fixture
def node(
    tmp_path: Path, routes: dict[int, Route], request: pytest.FixtureRequest
) -> Iterator[Node]:
    """Serves v1 from two workers; a test's parameter is `BATON_LANE`."""
    made = Node(tmp_path / "var", environ={"BATON_LANE": getattr(request, "param", "on")})
    made.promote(routes[1])
    made.start()
    try:
        made.until_serving(1)
        made.until(lambda: len({made.predict().headers["X-Worker"] for _ in range(9)}) == 2, "both")
        yield made
    finally:
        made.stop()


@pytest.fixture
def load(node: Node, tmp_path: Path) -> Load:
    # As many at once as a worker has threads: nobody is shed, however slow the machine is.
    path = tmp_path / "history.bin"
    return Load(node.port, "/models/iris/predict", RATE, path, connections=CONNECTIONS)


@dataclass
class Users:
    """Some users who ask one after the other, for as long as the block lasts; what they got."""

    node: Node
    names: tuple[str, ...] = tuple(f"user-{number}" for number in range(12))
    got: list[tuple[str, Reply]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._ask, name="users")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)

    def _ask(self) -> None:
        body = {"instances": [[1.0]]}
        while not self._stop.is_set():
            for name in self.names:
                reply = self.node.ask("POST", "/models/iris/predict", body, headers={USER: name})
                self.got.append((name, reply))
                time.sleep(0.005)


def reached(node: Node, load: Load, seq: int) -> None:
    """The load has seen an entry, and goes on for a while."""
    node.until(lambda: load.first(seq), f"the load sees seq {seq}")
    time.sleep(1.0)


def arm_of(node: Node) -> Arm:
    """The arm of the head."""
    head = node.ledger.head("iris")
    assert head
    assignment = Aspired.of(head).assignment
    assert assignment
    assert assignment.arm
    return assignment.arm


def rows(load: Load) -> Mapping[int, list[history.Observation]]:
    """What was answered, by seq."""
    found: dict[int, list[history.Observation]] = {}
    for one in history.observations(load.rows()):
        found.setdefault(one.seq, []).append(one)
    return found


def executed(node: Node, asked: set[str]) -> list[Prediction]:
    """The log's records of these requests, every one, once all are there."""
    log = SqlPredictions(f"sqlite:///{node.home / 'predictions.db'}")

    def found() -> list[Prediction]:
        records = list(log.executions("iris", 0.0, time.time() + 60))
        there = {one.request_id for one in records}
        return [one for one in records if one.request_id in asked] if asked <= there else []

    try:
        return list(node.until(found, "all is in the log"))
    finally:
        log.close()


@pytest.mark.parametrize("node", ["on", "off"], indirect=True)
def test_nobody_notices_a_split_and_its_end_under_load(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    users = Users(node)
    with load.running(), users.asking():
        node.until(lambda: load.count > 100, "the load runs")
        split = beside(routes[2], SHARE, sticky=f"header:{USER}")
        reached(node, load, node.promote(routes[1], split).key.seq)
        arm = arm_of(node)
        reached(node, load, node.promote(routes[1], split).key.seq)
        shown = node.ask("GET", "/models/iris").json
        v2 = node.ask("POST", "/v2/models/iris/versions/2/infer", TENSOR)
        ready = node.ask("GET", "/v2/models/iris/versions/2/ready")
        tensors = node.ask("GET", "/v2/models/iris/versions/2")
        counted = logged(node, "baton_arm_requests_total")
        reached(node, load, node.promote(routes[1]).key.seq)
    gone = node.ask("POST", "/v2/models/iris/versions/2/infer", TENSOR)
    assert violations(history.observations(load.rows()), ids=load.ids, predict=predict) == []

    by_seq = rows(load)
    assert set(by_seq) == {1, 2, 3, 4}
    for one in (*by_seq[2], *by_seq[3]):  # the load says no user: its requests go by their ids
        assert one.version == ("2" if arm.takes(one.id) else "1")
    assert {one.version for seq in (1, 4) for one in by_seq[seq]} == {"1"}
    in_split = [one.version for seq in (2, 3) for one in by_seq[seq]]
    share, spread = (
        in_split.count("2") / len(in_split),
        (SHARE * (1 - SHARE) / len(in_split)) ** 0.5,
    )
    assert abs(share - SHARE) < 5 * spread

    by_user = {
        (name, reply.headers["X-Model-Version"]) for name, reply in users.got if reply.seq in (2, 3)
    }
    assert by_user == {(name, "2" if arm.takes(name) else "1") for name in users.names}
    for _, reply in users.got:
        expected = {(2, "1"): "serve", (2, "2"): "split", (3, "1"): "serve", (3, "2"): "split"}
        which = (reply.seq, reply.headers["X-Model-Version"])
        assert (reply.status, reply.headers.get("X-Model-Arm")) == (200, expected.get(which))

    assert (shown["version"], shown["seq"]) == ("1", 3)
    assert shown["arm"] == {
        "arm": "split",
        "version": "2",
        "digest": routes[2].digest,
        "share": SHARE,
        "sticky": f"header:{USER}",
        "until": "2096-10-02T07:06:40.000+00:00",
    }
    assert (v2.status, v2.headers["X-Model-Arm"], v2.json["model_version"]) == (200, "split", "2")
    assert (ready.status, gone.status) == (200, 404)
    assert (tensors.json["name"], tensors.json["versions"]) == ("iris", ["2"])
    assert counted > 0
    records = executed(node, set(load.ids))
    assert unlogged(history.observations(load.rows()), records) == []
    said = {(one.seq, one.arm, one.version) for one in records}
    assert said >= {(2, "split", "2"), (2, "serve", "1"), (4, "serve", "1")}
    assert not {one for one in said if (one[1] == "split") != (one[2] == "2")}


def test_a_promotion_of_the_arm_under_load_fails_nobody(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    with load.running():
        node.until(lambda: load.count > 50, "the load runs")
        reached(node, load, node.promote(routes[1], beside(routes[2], SHARE)).key.seq)
        reached(node, load, node.promote(routes[2]).key.seq)
        reached(node, load, node.promote(routes[1]).key.seq)
    assert violations(history.observations(load.rows()), ids=load.ids, predict=predict) == []
    found = {seq: {one.version for one in some} for seq, some in rows(load).items()}
    assert found == {1: {"1"}, 2: {"1", "2"}, 3: {"2"}, 4: {"1"}}


def test_a_shadow_under_load_answers_nobody_and_is_written_down(
    node: Node, load: Load, routes: dict[int, Route]
) -> None:
    with load.running():
        node.until(lambda: load.count > 50, "the load runs")
        shadow = beside(routes[2], SHARE, role=Role.SHADOW)
        reached(node, load, node.promote(routes[1], shadow).key.seq)
        arm = arm_of(node)
        node.until(lambda: logged(node, "baton_shadow_total") > 20, "copies are counted")
        reached(node, load, node.promote(routes[1]).key.seq)
    assert violations(history.observations(load.rows()), ids=load.ids, predict=predict) == []
    by_seq = rows(load)
    assert {one.version for some in by_seq.values() for one in some} == {"1"}
    assert logged(node, "baton_arm_requests_total") == 0
    copied = {one.id for one in by_seq[2] if arm.takes(one.id)}

    records = executed(node, set(load.ids))
    served = [one for one in records if one.arm == "serve"]
    assert unlogged(history.observations(load.rows()), served) == []
    copies = [one for one in records if one.arm == "shadow"]
    assert 0 < len(copies) <= len(copied)
    assert {one.request_id for one in copies} <= copied
    assert {(one.version, one.digest, one.seq, one.status) for one in copies} == {
        ("2", routes[2].digest, 2, 200)
    }
    for one in copies:
        assert one.outputs["y"] == [[predict("2", float(one.request_id[1:]))]]
    assert len({one.prediction_id for one in records}) == len(records)


def test_a_node_that_starts_again_serves_the_split_with_everything_else_away(
    node: Node, routes: dict[int, Route]
) -> None:
    seq = node.promote(routes[1], beside(routes[2], 0.5)).key.seq
    node.until_serving(seq)
    arm = arm_of(node)
    node.stop()
    for route in routes.values():
        for file in Path(route.source).iterdir():
            file.unlink()
    ledger = node.home / "ledger.db"
    ledger.rename(ledger.with_suffix(".away"))
    node.environ["BATON_LEDGER_URL"] = "postgresql+psycopg2://127.0.0.1:9/nowhere"
    node.start()
    node.until_serving(seq)
    for number in range(40):
        headers = {"X-Request-Id": f"r{number}"}
        reply = node.ask("POST", "/models/iris/predict", {"instances": [[3.0]]}, headers=headers)
        version = "2" if arm.takes(f"r{number}") else "1"
        assert (reply.status, reply.seq) == (200, seq)
        assert reply.headers["X-Model-Version"] == version
        assert reply.json["predictions"] == [[predict(version, 3.0)]]


def test_a_worker_that_is_killed_in_a_split_comes_back_into_it(
    node: Node, routes: dict[int, Route]
) -> None:
    seq = node.promote(routes[1], beside(routes[2], 0.5)).key.seq
    node.until_serving(seq)
    arm, before = arm_of(node), node.worker_pids()
    os.kill(min(before), signal.SIGKILL)
    node.until(lambda: len(node.worker_pids() - before) == 1, "another worker")
    seen: set[str] = set()

    def by_both() -> bool:
        for number in range(20):
            headers = {"X-Request-Id": f"r{number}"}
            reply = node.ask("POST", "/models/iris/predict", {"instances": [[1]]}, headers=headers)
            assert reply.status == 200
            assert reply.headers["X-Model-Version"] == ("2" if arm.takes(f"r{number}") else "1")
            seen.add(reply.headers["X-Worker"])
        return len(seen) == 2

    node.until(by_both, "both workers answer")
