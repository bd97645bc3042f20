"""`python -m registry predictions …` on a log of its own."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from registry.__main__ import main
from registry.predictions import Position
from registry.retention import SECONDS_A_DAY
from registry.settings import Settings
from registry.sql_predictions import open_sink
from tests.fakes.predicted import made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With three records of iris: of some hours from now, of yesterday, of long ago."""
    now = time.time()
    ages = (-0.2, 1.0, 100.0)
    with closing(open_sink(Settings(home=tmp_path))) as sink:
        records = [made(n, time=now - age * SECONDS_A_DAY) for n, age in enumerate(ages)]
        sink.append("spool", "lane", records, Position(1, 1))
    return tmp_path


def run(home: Path, *arguments: str, **environ: str) -> Result:
    unset = dict.fromkeys(name for name in os.environ if name.startswith(("BATON_", "MLFLOW_")))
    given = {"BATON_HOME": str(home), **environ}
    return CliRunner(env=unset | given).invoke(main, ["predictions", *arguments])


def ids(home: Path, *arguments: str) -> list[str]:
    done = run(home, "list", "iris", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [one["prediction_id"] for one in json.loads(done.output)["predictions"]]


def test_the_newest_are_listed_first(home: Path) -> None:
    assert ids(home) == [made(n).prediction_id for n in range(3)]
    assert ids(home, "--last", "1") == [made(0).prediction_id]
    assert run(home, "list", "iris").output.count("│") > 30, "a table of three"


def test_a_model_that_was_never_asked_is_named(home: Path) -> None:
    done = run(home, "list", "lilies")
    assert done.exit_code == 2
    assert "'lilies'; there is: iris" in done.output


def test_what_is_old_is_forgotten(home: Path) -> None:
    assert "forgotten: 0 records" in run(home, "forget", "petr4", "--days", "0").output
    done = run(home, "forget", "--days", "30", "--json")
    assert json.loads(done.output)["records"] == 1
    assert len(ids(home)) == 2
    assert run(home, "forget", "iris", "--days", "0.5").exit_code == 0
    assert len(ids(home)) == 1


def test_hours_that_are_over_are_exported(home: Path, tmp_path: Path) -> None:
    refused = run(home, "export")
    assert (refused.exit_code, "is not set" in refused.output) == (2, True)
    there = str(tmp_path / "parquet")
    done = run(home, "export", "--days", "3", BATON_PREDICTIONS_PARQUET=there)
    assert done.exit_code == 0, done.output
    assert "1 files with 1 records" in done.output


def test_where_nothing_is_logged_it_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "list", "iris", BATON_PREDICTIONS_URL="off")
    assert (done.exit_code, "BATON_PREDICTIONS_URL: is off" in done.output) == (2, True)
