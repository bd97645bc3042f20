"""MLflow and Baton in one PostgreSQL: a backup of MLflow's tables, restored beside the log."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry.backup.databases import Postgres
from registry.predictions import Position
from registry.settings import Settings
from registry.sql_predictions import SqlPredictions
from tests.fakes.predicted import faults, some
from tests.postgres import Postgres as Server

EVER = (0.0, 1e11)


@pytest.fixture
def url(postgres_url: str) -> str:
    """With a table of MLflow's, which has one row."""
    found = Settings(ledger_url=postgres_url).resolved().ledger_url
    run(found, "CREATE TABLE experiments (name text)", "INSERT INTO experiments VALUES ('kept')")
    return found


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def names(url: str) -> list[str]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.scalars(sa.text("SELECT name FROM experiments")))
    engine.dispose()
    return found


def test_what_was_predicted_stays_where_mlflow_is_restored(url: str, tmp_path: Path) -> None:
    database = Postgres(sa.make_url(url), "MLFLOW_TRACKING_URI")
    with closing(SqlPredictions(url)) as log:
        log.append("spool", "lane", some(3), Position(1, 1))
        database.save(tmp_path / "copy")
        run(url, "DELETE FROM experiments")
        database.load(tmp_path / "copy")
        assert names(url) == ["kept"]
        assert log.append("spool", "lane", some(2, first=90_000), Position(1, 2)) == 2
        sent = [*some(3), *some(2, first=90_000)]
        assert faults(sent, list(log.executions("iris", *EVER))) == []


def test_a_log_is_made_where_mlflow_was_restored_before(
    url: str, postgres: Server, tmp_path: Path
) -> None:
    with closing(SqlPredictions(url)):
        Postgres(sa.make_url(url), "MLFLOW_TRACKING_URI").save(tmp_path / "copy")
    other = Settings(ledger_url=postgres.new_database()).resolved().ledger_url
    Postgres(sa.make_url(other), "MLFLOW_TRACKING_URI").load(tmp_path / "copy")
    with closing(SqlPredictions(other)) as log:
        assert log.append("spool", "lane", some(3), Position(1, 1)) == 3
    assert names(other) == ["kept"]
