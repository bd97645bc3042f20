"""The promises end to end, on the whole stack as processes: `make test-stack`.

What is killed here is killed once each; `make nightly` goes on for BATON_TEST_STACK_REQUESTS.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.history import Observation
from benchmarks.load import Load
from benchmarks.node import ROOT
from benchmarks.processes import descendants
from benchmarks.versions import predict
from tests.missing import ServiceMissing
from tests.stack.native import Native, stack
from tests.stack.register_linear import MODEL

REQUESTS = int(os.environ.get("BATON_TEST_STACK_REQUESTS", "0"))
RATE = 100
# What a round takes on a busy machine, and then as long as so many requests take.
pytestmark = pytest.mark.timeout(900 + 4 * REQUESTS // RATE)
VERSIONS = 6
WORKFLOW = ROOT / ".github" / "workflows" / "train-promote.yml"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    try:
        with stack(tmp_path_factory.mktemp("stack")) as running:
            running.register(*range(1, VERSIONS + 1))
            yield running
    except ServiceMissing as missing:
        missing.skip_or_fail()


def test_the_workflow_trains_promotes_and_is_answered_over_tls(native: Native) -> None:
    """Its very lines: `make train`, `make promote`, against PostgreSQL and S3."""
    job = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["train-promote"]
    lines = [step["run"] for step in job["steps"] if "make train" in step.get("run", "")]
    lines += [step["run"] for step in job["steps"] if "make promote" in step.get("run", "")]
    assert len(lines) == 2
    for line in lines:
        native.shell(line, WORKLOAD="iris", MODEL="iris")
    native.follows(native.head("iris"), model="iris")
    row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    status, headers, said = native.reply("POST", "/models/iris/predict", row)
    assert (status, headers["X-Model-Version"], said["predictions"]) == (200, "1", [0])


def test_whatever_ends_no_client_notices_and_every_door_leads_to_production(
    native: Native, tmp_path: Path, say: Callable[[str], None]
) -> None:
    seen: list[tuple[float, int]] = []  # when both nodes served which seq

    def serves(seq: int) -> None:
        seen.append((native.follows(seq), seq))

    serves(native.promote(1))
    load = Load(
        native.plain_port, f"/models/{MODEL}/predict", RATE, tmp_path / "history", workers=0
    )
    rounds, begun = 0, time.monotonic()
    with load.running():
        while not rounds or RATE * (time.monotonic() - begun) < REQUESTS:
            _everything_ends(native, serves)
            rounds += 1
    rows = list(history.observations(load.rows()))
    assert violations(_without_seq(rows), ids=load.ids, predict=predict) == []
    assert late(rows, seen) == []
    say(
        f"stack: 0 of {load.count} requests through nginx failed or wrong, over {5 * rounds} "
        f"changes of Production, while PostgreSQL, S3, MLflow, workers and nodes ended "
        f"{rounds} times each"
    )


def _everything_ends(native: Native, serves: Callable[[int], None]) -> None:
    """Three promotions, a rollback and a click, and before each something else is killed."""
    serves(native.promote(2))
    native.databases.server.kill()
    _roll(native, signal.SIGKILL, first=0)
    native.databases.server.restart()
    serves(native.promote(3))
    native.s3.kill()
    _kill_workers(native)
    native.s3.restart()
    serves(native.promote(4))
    native.mlflow.kill()
    _roll(native, signal.SIGTERM, first=0)
    _roll(native, signal.SIGTERM, first=1)
    native.mlflow.start()
    serves(native.rollback())
    serves(native.click(5))


def late(rows: list[Observation], seen: list[tuple[float, int]]) -> list[str]:
    """Requests that began after every node served a seq, and were answered by a lower one."""
    return [
        f"{one.id}: seq {one.seq}, though all served {seq}"
        for at, seq in seen
        for one in rows
        if one.begun > at and one.seq < seq
    ]


def test_a_late_answer_is_found() -> None:
    one = Observation(id="r1", begun=2.0, ended=3.0, status=200, version="1", seq=4)
    assert late([one], [(1.0, 5)]) == ["r1: seq 4, though all served 5"]
    assert late([one], [(2.5, 5), (1.0, 4)]) == []


def _without_seq(rows: list[Observation]) -> list[Observation]:
    """Of several nodes, which may be a poll apart: their order is what `late` looks at."""
    return [dataclasses.replace(one, seq=0) for one in rows]


def _roll(native: Native, how: signal.Signals, *, first: int) -> None:
    """End one node and start it again, while the other answers."""
    node = native.nodes[first]
    assert node.server
    with_it = descendants(node.server.pid) if how == signal.SIGKILL else []
    for pid in (node.server.pid, *with_it):  # as the end of a container ends all of them
        os.kill(pid, how)
    node.server.wait(timeout=60)
    node.start()
    node.until(lambda: node.ask("GET", "/readyz").status == 200, "the node is ready again")


def _kill_workers(native: Native) -> None:
    """One worker of each node."""
    for node in native.nodes:
        os.kill(min(node.worker_pids()), signal.SIGKILL)
        node.until(lambda node=node: len(node.worker_pids()) == 2, "both workers are back")
