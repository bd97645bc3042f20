"""Opening a ledger, on sqlite and PostgreSQL: twice, at once, and where there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry import ledger_tables as tables
from registry.errors import SettingsError, Unreachable
from registry.sql_ledger import SqlLedger
from tests.fakes import draft

Open = Callable[[], SqlLedger]


def test_opening_again_finds_the_same_ledger(ledger: SqlLedger, open_ledger: Open) -> None:
    assert open_ledger().id == ledger.id


def test_processes_that_open_a_new_ledger_at_once_make_one(url: str) -> None:
    program = (
        "import sys; from registry.sql_ledger import SqlLedger; print(SqlLedger(sys.argv[1]).id)"
    )
    command = [sys.executable, "-c", program, url]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ids = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(ids) == 1


def test_a_ledger_of_a_newer_baton_is_refused(ledger: SqlLedger, url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        newer = sa.update(tables.ledger).values(schema_version=99, compatible_since=98)
        connection.execute(newer)
    engine.dispose()
    with pytest.raises(SettingsError, match="schema 99.*upgrade Baton"):
        SqlLedger(url)


def test_a_reader_does_not_wait_for_a_writer(ledger: SqlLedger, url: str) -> None:
    entry = ledger.append(draft(), expected=None, at_ms=1)
    engine = sa.create_engine(url)
    with engine.connect() as writer, ThreadPoolExecutor(1) as pool:
        writer.execute(sa.update(tables.ledger).values(revision=7))
        reading = pool.submit(ledger.heads)
        try:
            assert reading.result(timeout=5) == [entry]
        finally:
            writer.rollback()
    engine.dispose()


def test_a_database_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="BATON_LEDGER_URL"):
        SqlLedger("postgresql+psycopg2://baton@127.0.0.1:1/ledger")


@pytest.mark.parametrize("address", ["not a url", "nosuch://here", "mysql://u@localhost/d"])
def test_an_address_that_is_none_is_a_wrong_setting(address: str) -> None:
    with pytest.raises(SettingsError, match="BATON_LEDGER_URL"):
        SqlLedger(address)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("ledger.db").write_text("these are not the pages you are looking for" * 99)
    with pytest.raises((Unreachable, SettingsError), match="BATON_LEDGER_URL"):
        SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("taken").write_text("a file, not a directory")
    with pytest.raises((Unreachable, SettingsError), match="BATON_LEDGER_URL"):
        SqlLedger(f"sqlite:///{tmp_path / 'taken' / 'ledger.db'}")
