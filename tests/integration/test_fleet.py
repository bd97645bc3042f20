"""A fleet on a real MLflow store: interrupted, gone on with, and one of its series is broken."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from registry.settings import Settings
from training.tracking import Tracking

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("holdout_days=10", "history_rows=120", "backtest_folds=0", "yearly_seasonality=false")
NAMES = ("one", "broken", "two")


def generated(names: tuple[str, ...] = NAMES, rows: int = 150) -> pd.DataFrame:
    """Generated daily series, the same every time; the one called broken falls below zero."""
    random = np.random.default_rng(7)
    parts = []
    for name in names:
        walk = 100 + np.cumsum(random.normal(0, 1, rows))
        dates = pd.date_range("2025-01-01", periods=rows)
        y = walk - 1000 * (name == "broken")
        parts.append(pd.DataFrame({"series": name, "ds": dates, "y": y}))
    return pd.concat(parts)


class Fleet:
    """`python -m training fleet`, as a person would type it."""

    def __init__(self, settings: Settings) -> None:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        self._environ = {**own, "BATON_HOME": str(settings.home), "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "training", "fleet", *arguments],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def fleet(embedded: Settings) -> Fleet:
    return Fleet(embedded)


def until_first_is_trained(process: subprocess.Popen[str]) -> str:
    """The parent's run id, once a series is done."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("1/"):
            [head] = [one for one in said if ", run " in one]
            return head.rpartition(" ")[2].strip()
    pytest.fail("".join(said))


def test_a_fleet_is_interrupted_and_gone_on_with(
    embedded: Settings, fleet: Fleet, tmp_path: Path
) -> None:
    """Ctrl-C leaves what is done; --resume does the rest; a broken series costs exit 5 alone."""
    table = tmp_path / "generated.parquet"
    generated().to_parquet(table)
    params = [f"--param={one}" for one in QUICK]
    asked = ["--workload=petr4", f"--series-file={table}", "--workers=1", *params]
    process = fleet.start(*asked)
    parent = until_first_is_trained(process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"--resume {parent}" in said

    client = Tracking(embedded).client
    assert client.get_run(parent).info.status == "KILLED"
    assert children(client, parent, "RUNNING") == []
    done = {run.data.tags["baton.fleet_series"]: run for run in trained(client, parent)}
    assert [*done] == ["one"]

    process = fleet.start(f"--resume={parent}", "--workers=2", "--json")
    out, said = process.communicate(timeout=120)
    assert process.returncode == 5, said
    told = json.loads(out)
    assert told["run_id"] == parent
    assert told["kept"] == len(done)
    assert [*told["failures"]] == ["broken"]
    assert "expected more than 0" in told["failures"]["broken"]
    assert {name: model for name, (model, _) in told["models"].items()} == {
        name: f"ProphetModel-{name}" for name in ("one", "two")
    }
    for name, run in done.items():
        models = client.search_model_versions(f"name='ProphetModel-{name}'")
        assert [version.run_id for version in models] == [run.info.run_id], "not trained again"
    assert client.get_run(parent).info.status == "FAILED"
    assert {run.data.tags["mlflow.parentRunId"] for run in trained(client, parent)} == {parent}
    lines = summary(embedded, parent)
    assert {line["series"] for line in lines} == set(NAMES)
    [broken] = [line for line in lines if line["series"] == "broken"]
    assert broken["tries"] == "1", "the same data would be as broken again"
    assert all(line["metric"] and line["ratio"] for line in lines if line["series"] != "broken")


def children(client, parent: str, status: str) -> list:
    experiment = client.get_run(parent).info.experiment_id
    wanted = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = '{status}'"
    return [*client.search_runs([experiment], wanted)]


def trained(client, parent: str) -> list:
    return [r for r in children(client, parent, "FINISHED") if "model_version" in r.data.tags]


def summary(settings: Settings, parent: str) -> list[dict[str, str]]:
    """The artifact of the parent run."""
    text = Tracking(settings).mlflow.artifacts.load_text(
        f"{Tracking(settings).client.get_run(parent).info.artifact_uri}/summary.csv"
    )
    return [*csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workload=petr4"], "expected --workload and --series-file"),
        (["--resume=0123", "--workload=petr4"], "goes on as it was planned"),
        (["--resume=0123"], "unknown run '0123'"),
        (["--workload=petr4", "--series-file=none.txt"], "no such file or directory"),
    ],
)
def test_what_cannot_be_is_exit_2(embedded: Settings, arguments: list[str], told: str) -> None:
    from click.testing import CliRunner  # noqa: PLC0415 - only here

    from training.__main__ import main  # noqa: PLC0415 - as above

    environ = {"BATON_HOME": str(embedded.home)}
    done = CliRunner(env=environ).invoke(main, ["fleet", *arguments])
    assert done.exit_code == 2, done.stderr
    assert told in done.stderr
