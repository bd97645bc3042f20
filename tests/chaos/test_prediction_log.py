"""kill -9 of workers, shipper and watcher, and a log that is away: each answer is in it once.

`BATON_TEST_LOG_REQUESTS` says how many are asked (here few, every night 500,000), `_RATE` how many
a second, `_AWAY_SECONDS` how long the log is away.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.checker import unlogged, violations
from benchmarks.load import Load
from benchmarks.versions import Versions, predict
from tests.chaos.nginx import nginx
from tests.servingfakes.node import Node
from tests.servingfakes.prediction_logs import FileLog, lanes

REQUESTS = int(os.environ.get("BATON_TEST_LOG_REQUESTS", "4000"))
RATE = int(os.environ.get("BATON_TEST_LOG_RATE", "200"))
AWAY_SECONDS = float(os.environ.get("BATON_TEST_LOG_AWAY_SECONDS", "4"))
_TARGETS = ("worker", "shipper", "worker", "watcher", "log")
_LONGEST_PAUSE_SECONDS = 2.0


@pytest.fixture
def log(tmp_path: Path) -> FileLog:
    return FileLog(tmp_path / "log.db")


@pytest.fixture
def node(tmp_path: Path, log: FileLog) -> Iterator[Node]:
    environ = {**log.environ, "BATON_TRUSTED_PROXIES": "127.0.0.1"}
    made = Node(tmp_path / "var", environ=environ)
    versions = Versions(tmp_path / "versions")
    made.promote(versions.route(1))
    made.start()
    made.until_serving(1)
    made.promote(versions.route(2))
    made.until_serving(2)
    yield made
    made.stop()


class Faults:
    """What is done to a node and its log, one after the other."""

    def __init__(self, node: Node, log: FileLog) -> None:
        self.node, self.log = node, log
        self.random = random.Random(20261122)  # noqa: S311 - no secret
        self.done: collections.Counter[str] = collections.Counter()

    def one(self, target: str) -> None:
        time.sleep(self.random.uniform(0.0, _LONGEST_PAUSE_SECONDS))
        if target == "worker":
            os.kill(self.random.choice(sorted(self.node.worker_pids())), signal.SIGKILL)
            self.node.until(lambda: len(self.node.worker_pids()) == 2, "both workers are back")
            # A proxy tries twice: with both workers gone at once it would have nobody to ask.
            self.node.until(lambda: self.node.predict().status == 200, "it answers")
        elif target == "log":
            if self.done["log"] and REQUESTS > 100_000:
                return  # once is for long
            with self.log.away():
                time.sleep(AWAY_SECONDS)
        else:
            name = {"shipper": "serving.shipping", "watcher": "serving.node"}[target]
            os.kill(self.node.pid_of(name), signal.SIGKILL)
        self.done[target] += 1


@pytest.mark.timeout(300 + int(AWAY_SECONDS) + 2 * REQUESTS // RATE)
def test_whatever_is_killed_each_answer_is_in_the_log_exactly_once(
    node: Node, log: FileLog, tmp_path: Path, say: Callable[[str], None]
) -> None:
    faults = Faults(node, log)
    with nginx(tmp_path / "nginx", node.port) as port:
        load = Load(port, "/models/iris/predict", RATE, tmp_path / "history.bin", workers=2)
        with load.running():
            while load.count < REQUESTS:
                for target in _TARGETS:
                    faults.one(target)
        rows = load.rows()
    node.stop()
    assert lanes(node) == [], "all of it is shipped"
    wrong = violations(history.observations(rows), ids=load.ids, predict=predict)
    # What was asked beside the load: to see that it serves, and which worker a connection reached.
    asked = set(load.ids)
    mine = [one for one in log.records() if one.request_id in asked]
    missed = unlogged(history.observations(rows), mine)
    attempts = sum(one.status == 200 for one in mine)
    say(
        f"{load.count} requests through {dict(faults.done)}: {len(wrong)} failed or wrong, "
        f"{len(missed)} not once in the log, {attempts - load.count} tried twice"
    )
    assert wrong == []
    assert missed == []
    assert faults.done.keys() == set(_TARGETS)
