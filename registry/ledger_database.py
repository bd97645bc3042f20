"""Opening the ledger's database: sqlite (WAL, one file) or PostgreSQL, tables made on first use."""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from registry import ledger_tables as tables
from registry.errors import SettingsError, Unreachable

_BUSY_MS = 30_000
_MIGRATION_LOCK = 0x6261746F  # any constant: the advisory lock of schema changes


def open_database(url: str) -> sa.Engine:
    """The engine, its tables made; Unreachable, or SettingsError for a URL that is none."""
    try:
        is_remote = sa.make_url(url).get_driver_name() == "psycopg2"
        patience = dict(tables.PATIENCE) if is_remote else {}
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=patience)
    except (exc.ArgumentError, ImportError) as error:
        raise SettingsError(f"BATON_LEDGER_URL: not a database URL: {error}") from error
    if engine.dialect.name == "sqlite":
        _tune_sqlite(engine)
    try:
        with reaching(), _migrating(engine):
            _make_tables(engine)
    except (exc.DatabaseError, OSError) as error:
        raise SettingsError(f"BATON_LEDGER_URL: no ledger can be kept there: {error}") from error
    return engine


def _make_tables(engine: sa.Engine) -> None:
    """Make what is missing, bring an older schema up to this code's, refuse a newer one."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        tables.ledger.create(connection, checkfirst=True)
        row = connection.execute(sa.select(tables.ledger)).first()
        if row and row.schema_version > tables.SCHEMA_VERSION:
            raise SettingsError(
                f"BATON_LEDGER_URL: the ledger has schema {row.schema_version}, this Baton "
                f"knows {tables.SCHEMA_VERSION}: upgrade Baton"
            )
        if row and row.schema_version < tables.SCHEMA_VERSION:
            # Schema 1 kept leases by the clock; who held one asks again within a second.
            tables.leases.drop(connection, checkfirst=True)
            connection.execute(
                sa.update(tables.ledger).values(schema_version=tables.SCHEMA_VERSION)
            )
        tables.metadata.create_all(connection)
        if row is None:
            connection.execute(
                sa.insert(tables.ledger).values(
                    id=str(uuid.uuid4()),
                    schema_version=tables.SCHEMA_VERSION,
                    epoch=1,
                    revision=0,
                )
            )


@contextmanager
def reaching() -> Iterator[None]:
    """Turn the driver's connection errors into Unreachable."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError) as error:
        raise Unreachable(
            f"ledger: {error.orig}; check BATON_LEDGER_URL and that its database runs"
        ) from error


@contextmanager
def _migrating(engine: sa.Engine) -> Iterator[None]:
    """Let one process at a time make the tables of a sqlite file; PostgreSQL locks inside."""
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") if path else nullcontext() as file:
        if file:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tune_sqlite(engine: sa.Engine) -> None:
    """WAL and a busy timeout; a transaction takes the write lock at its start, a reader none."""

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
