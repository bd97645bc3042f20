"""A real node with 200 models and memory for a part of them. Counts only: no times are judged.

The versions lie in the node store before it starts, so that 200 trials are not needed. Each is
reckoned to take a megabyte, as if its trial had measured that.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.load import Load
from benchmarks.versions import Versions, predict
from serving.node.store import NodeStore
from tests.servingfakes.node import Node, Reply
from tests.servingfakes.versions import append

MODELS = 200
WORKERS = 2
BUDGET_MB = 60
RATE = 100
SWAPS = 3


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, versions: Versions) -> Iterator[Node]:
    """A node whose model m0 serves version 1, m1 version 2, …: no two answer alike."""
    own = {"BATON_MEMORY_BUDGET_MB": str(BUDGET_MB)}
    home = tmp_path_factory.mktemp("node") / "var"
    made = Node(home, workers=WORKERS, environ=own)
    store = NodeStore(home / "store")
    for number in range(MODELS):
        route = versions.route(number + 1)
        append(made.ledger, f"m{number}", route)
        with store.incoming(route.digest) as scratch:
            shutil.copytree(route.source, scratch / "files", dirs_exist_ok=True)
            store.keep(scratch, route.manifest, resident_mb=1.0)
    made.start()
    made.until(lambda: len(_ready(made)) == MODELS, "every model is ready")
    yield made
    made.stop()


def _ready(node: Node) -> list[str]:
    return [row["model"] for row in node.ask("GET", "/models").json["models"] if row["ready"]]


def _answered(reply: Reply, version: int) -> bool:
    """Whether the answer is this version's; a model that waits for its turn may say so."""
    if reply.status == 503:
        assert reply.headers["Retry-After"], "a first use that must wait says for how long"
        return False
    assert reply.status == 200, reply.body
    assert reply.headers["X-Model-Version"] == str(version)
    assert reply.json["predictions"] == [[predict(str(version), 1.0)]]
    return True


def _ask_all(node: Node, expected: dict[int, int] | None = None) -> None:
    """Every model answers, each as its version does."""
    for number in range(MODELS):
        version = (expected or {}).get(number, number + 1)
        node.until(
            lambda name=f"m{number}", version=version: _answered(node.predict(model=name), version),
            f"m{number} answers",
        )


def _metric(node: Node, name: str) -> float:
    text = node.ask("GET", "/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in re.findall(rf"^{name} .*$", text, re.MULTILINE))


def _loaded(node: Node) -> dict[str, int]:
    """How many models each worker has loaded."""
    seen: dict[str, int] = {}

    def every() -> bool:
        worker = node.predict(model="m0").headers["X-Worker"]
        rows = node.ask("GET", "/models").json["models"]
        seen.setdefault(worker, sum(row["loaded"] for row in rows))
        return len(seen) == WORKERS

    node.until(every, "both workers were asked")
    return seen


def test_every_model_answers_rightly_at_its_first_use_within_the_budget(node: Node) -> None:
    _ask_all(node)
    assert max(_loaded(node).values()) <= BUDGET_MB / WORKERS
    assert 0 < _metric(node, "baton_resident_bytes") <= BUDGET_MB * 2**20
    assert _metric(node, "baton_evictions_total") >= MODELS - BUDGET_MB
    uses = _metric(node, "baton_first_use_loads_total")
    assert uses >= MODELS
    _ask_all(node)
    assert _metric(node, "baton_first_use_loads_total") > uses, "what had left was loaded again"
    assert _metric(node, "baton_resident_bytes") <= BUDGET_MB * 2**20


def test_a_swap_of_one_used_model_under_load_fails_nothing_while_others_come_and_go(
    node: Node, versions: Versions, tmp_path: Path
) -> None:
    load = Load(node.port, "/models/m0/predict", RATE, tmp_path / "history.bin", workers=WORKERS)
    with load.running():
        load.until(lambda: load.count > RATE, "the load runs")
        for swap in range(SWAPS):
            entry = node.promote(versions.route(MODELS + 1 + swap), model="m0")
            for number in range(1, 40):
                node.until(
                    lambda n=number: _answered(node.predict(model=f"m{n}"), n + 1), "the others"
                )
            load.until_every(entry.key.seq)
    assert violations(history.observations(load.rows()), ids=load.ids, predict=predict) == []
    assert (load.newest.seq, load.newest.version) == (1 + SWAPS, MODELS + SWAPS)
    assert _metric(node, "baton_resident_bytes") <= BUDGET_MB * 2**20


def test_a_killed_worker_and_a_restart_serve_every_model_again(node: Node) -> None:
    """The last test of this module: m0 serves what the swaps above left."""
    now = {0: int(node.until_serving(1, model="m0").headers["X-Model-Version"])}
    before = node.worker_pids()
    os.kill(min(before), signal.SIGKILL)
    node.until(lambda: len(node.worker_pids() - {min(before)}) == WORKERS, "a new worker is there")
    _ask_all(node, now)
    node.stop()
    node.start()
    node.until(lambda: len(_ready(node)) == MODELS, "every model is ready")
    _ask_all(node, now)
    assert max(_loaded(node).values()) <= BUDGET_MB / WORKERS
    assert 0 < _metric(node, "baton_resident_bytes") <= BUDGET_MB * 2**20
