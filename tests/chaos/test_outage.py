"""Registry, database and object store are all gone, and every worker is restarted: it serves on.

`BATON_TEST_OUTAGE_SECONDS` says for how long (here seconds, every night ten minutes; a day by a
fake clock is in `tests/unit/test_serving_watcher.py`). The registry is an address where nobody
listens, from the start: a node does not need it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.load import Load
from benchmarks.versions import Versions, predict
from registry.ledger import Route
from registry.sql_ledger import SqlLedger
from tests.chaos.nginx import nginx
from tests.postgres import Postgres
from tests.seaweed import BUCKET, READER, Seaweed
from tests.servingfakes.node import Node

OUTAGE_SECONDS = float(os.environ.get("BATON_TEST_OUTAGE_SECONDS", "8"))
RATE = 100
RESTARTS = 6


def in_s3(seaweed: Seaweed, route: Route) -> Route:
    """The same version, its files in the object store."""
    prefix = f"v{route.version}"
    for name in route.manifest.files:
        seaweed.put(f"{prefix}/{name}", Path(route.source, name).read_bytes())
    fields = {**vars(route), "source": f"s3://{BUCKET}/{prefix}"}
    return Route(**{name: fields[name] for name in Route.__dataclass_fields__})


@pytest.mark.timeout(300 + 2 * OUTAGE_SECONDS)
def test_an_outage_of_everything_with_every_worker_restarted_fails_no_request(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    postgres, seaweed = Postgres.start(), Seaweed.start()
    url = postgres.new_database().replace("postgresql://", "postgresql+psycopg2://")
    versions = Versions(tmp_path / "versions")
    own = {"BATON_LEDGER_URL": url, "MLFLOW_S3_ENDPOINT_URL": seaweed.endpoint, **READER}
    node = Node(tmp_path / "var", environ=own)
    node.ledger = SqlLedger(url)
    node.promote(in_s3(seaweed, versions.route(1)))
    two = in_s3(seaweed, versions.route(2))
    node.start()
    node.until_serving(1)
    killed = 0
    with nginx(tmp_path / "nginx", node.port) as port:
        load = Load(port, "/models/iris/predict", RATE, tmp_path / "history.bin")
        with load.running():
            postgres.kill()
            seaweed.process.kill()
            begun = time.monotonic()
            for number in range(RESTARTS):
                time.sleep(OUTAGE_SECONDS / RESTARTS)
                pids = sorted(node.worker_pids())
                os.kill(pids[number % len(pids)], signal.SIGKILL)
                killed += 1
                node.until(lambda: len(node.worker_pids()) == 2, "both workers are back")
            lasted = time.monotonic() - begun
            postgres.restart()
            time.sleep(2.0)
            node.promote(versions.route(2) if seaweed.process.poll() is not None else two)
            load.until_every(2)
        rows = load.rows()
    node.stop()
    node.ledger.close()
    postgres.stop()
    seaweed.stop()
    found = violations(history.observations(rows), ids=load.ids, predict=predict)
    say(
        f"{lasted:.0f} s without registry, database and object store, {killed} workers killed: "
        f"{len(found)} of {load.count} requests failed or wrong; then it followed the ledger again"
    )
    assert found == []
