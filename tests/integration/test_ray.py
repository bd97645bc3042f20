"""A fleet and a scoring over a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import generated
from benchmarks.ray_cluster import BIN, cluster
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.missing import ServiceMissing
from tests.servingfakes import batches, models
from tests.servingfakes.versions import append, folder, mlmodel, route
from training.tracking import Tracking

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("holdout_days=10", "history_rows=120", "backtest_folds=0", "yearly_seasonality=false")
# Where a task ran, and with whose code: that of the package which Ray handed over.
WHERE = """
import os, sys, time
from registry.settings import Settings
from training.crew import WorkerLost, each
from training.ray_crew import RayCrew
def where(number):
    import ray, training
    if number == 3:
        os.kill(os.getpid(), 9)
    time.sleep(0.5)
    return ray.get_runtime_context().get_node_id(), training.__file__, os.environ["OMP_NUM_THREADS"]
with RayCrew.joined(where, Settings.read(), size=None) as crew:
    results = dict(each(crew, range(8)))
    lost = {n for n, one in results.items() if isinstance(one, WorkerLost)}
    told = [one for n, one in results.items() if n not in lost]
    print(crew.size, sorted(lost), len({node for node, _, _ in told}))
    print({"working_dir_files" in file for _, file, _ in told}, {threads for _, _, threads in told})
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes of one processor each."""
    if not (BIN / "ray").exists():
        ServiceMissing("Ray is not installed: make setup GROUP=ray").skip_or_fail()
    with cluster(2) as address:
        yield address


@pytest.fixture
def environ(address: str, embedded: Settings) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
    more = {"BATON_HOME": str(embedded.home), "PYTHONPATH": str(ROOT)}
    return {**own, **more, "BATON_RAY_ADDRESS": address}


def run(environ: dict[str, str], *command: str) -> tuple[int, Any, str]:
    """`python -m training … --json` in the environment without Ray, which turns to the other."""
    done = subprocess.run(
        [sys.executable, "-m", "training", *command, "--engine=ray", "--json"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_tasks_go_to_both_nodes_with_the_code_of_here_and_survive_one_that_is_killed(
    environ: dict[str, str],
) -> None:
    done = subprocess.run(
        [BIN / "python", "-c", WHERE],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "(raylet)" not in line]
    assert said == ["2 [3] 2", "{True} {'1'}"]


def test_a_fleet_is_trained_over_both(
    environ: dict[str, str], embedded: Settings, tmp_path: Path
) -> None:
    table = generated.series(tmp_path / "generated.parquet", 6, rows=150)
    params = [f"--param={one}" for one in QUICK]
    code, told, said = run(environ, "fleet", "--workload=petr4", f"--series-file={table}", *params)
    assert code == 0, said
    assert (told["trained"], told["failures"]) == (6, {})
    client = Tracking(embedded).client
    assert len(client.search_registered_models()) == 6
    assert client.get_run(told["run_id"]).info.status == "FINISHED"


def test_a_table_is_scored_over_both(
    environ: dict[str, str], embedded: Settings, tmp_path: Path
) -> None:
    columns = mlmodel([{"name": name, "type": "double"} for name in batches.COLUMNS])
    made = route(folder(tmp_path / "one", models.classifier(), files={"MLmodel": columns}), 1)
    batches.fetched(embedded, made)
    ledger = SqlLedger(embedded.ledger_url)
    append(ledger, "iris", made)
    ledger.close()
    table = pa.table({name: np.arange(1000.0) for name in batches.COLUMNS})
    pq.write_table(table, tmp_path / "in.parquet")
    asked = [f"--input={tmp_path / 'in.parquet'}", f"--output={tmp_path / 'out'}"]
    code, told, said = run(environ, "score", "iris", *asked, "--partition-rows=100")
    assert code == 0, said
    assert (told["rows"], told["partitions"], told["failures"]) == (1000, 10, {})
    parts = sorted((tmp_path / "out").glob("part-*.parquet"))
    scores = [row[0] for part in parts for row in pq.read_table(part).column(1).to_pylist()]
    assert scores == [n * 0.5 for n in range(1000)]


def test_a_cluster_that_is_not_there_is_out_of_reach(environ: dict[str, str]) -> None:
    environ = {**environ, "BATON_RAY_ADDRESS": "127.0.0.1:1"}
    code, _, said = run(
        environ, "fleet", "--workload=petr4", "--series-file=training/data/samples/fleet.txt"
    )
    assert code == 4, said
    assert "Ray at 127.0.0.1:1" in said
