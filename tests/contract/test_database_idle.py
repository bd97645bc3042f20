"""A process that stands still in the middle of a transaction holds up nobody for ever."""

from __future__ import annotations

from contextlib import closing

import pytest
import sqlalchemy as sa

from registry import ledger_tables as tables
from registry.database import IDLE_SECONDS, Kept
from registry.errors import Unreachable
from registry.jobs_database import KEPT as JOBS
from registry.ledger_database import KEPT as LEDGER
from registry.predictions_database import KEPT as PREDICTIONS
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.fakes import draft

SETTING = "idle_in_transaction_session_timeout"


@pytest.fixture
def server_url(postgres_url: str) -> str:
    return Settings(ledger_url=postgres_url).resolved().ledger_url


@pytest.mark.parametrize("kept", [LEDGER, JOBS, PREDICTIONS])
def test_every_connection_bounds_how_long_a_transaction_stands_still(
    server_url: str, kept: Kept
) -> None:
    engine = kept.open(server_url)
    try:
        with engine.connect() as first, engine.connect() as second:
            for connection in (first, second):
                shown = connection.exec_driver_sql(f"SHOW {SETTING}").scalar_one()
                assert shown == {60: "1min"}[IDLE_SECONDS]
    finally:
        engine.dispose()


def test_a_frozen_writer_loses_its_locks_and_can_be_asked_again(server_url: str) -> None:
    with closing(SqlLedger(server_url)) as frozen, closing(SqlLedger(server_url)) as other:
        with frozen._engine.connect() as connection:
            connection.exec_driver_sql(f"SET {SETTING} = '300ms'")
            connection.execute(sa.update(tables.ledger).values(revision=7))
            entry = other.append(draft(), expected=None, at_ms=1)  # waits for the server's word
            with pytest.raises(Unreachable, match="BATON_LEDGER_URL"), LEDGER.reaching():
                connection.execute(sa.select(tables.ledger))
        assert frozen.heads() == [entry]
