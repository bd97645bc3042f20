"""Opening a database of Baton's own: sqlite (WAL, one file) or PostgreSQL, by its address alone.

What is kept there is the caller's; see `ledger_database.py` and `jobs_database.py`.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from registry.errors import SettingsError, Unreachable

# How libpq connects: a server that vanished without a word is noticed within about ten seconds.
PATIENCE: Mapping[str, object] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_BUSY_MS = 30_000
_MIGRATION_LOCK = 0x6261746F  # any constant: the advisory lock of schema changes


@dataclass(frozen=True)
class Kept:
    """What a database is for: a noun for messages, and the variable that has its address."""

    noun: str
    variable: str

    def open(self, url: str, make_tables: Callable[[sa.Connection], None]) -> sa.Engine:
        """The engine, after `make_tables`, which one process at a time runs in a transaction.

        Raises Unreachable, or SettingsError for a URL that is none.
        """
        engine = self._engine(url)
        if engine.dialect.name == "sqlite":
            _tune_sqlite(engine)
        try:
            with self.reaching(), _migrating(engine), engine.begin() as connection:
                if engine.dialect.name == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                make_tables(connection)
        except (exc.DatabaseError, OSError) as error:
            raise SettingsError(
                f"{self.variable}: no {self.noun} can be kept there: {error}"
            ) from error
        return engine

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Turn the driver's connection errors into Unreachable."""
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError) as error:
            raise Unreachable(
                f"{self.noun}: {error.orig}; check {self.variable} and that its database runs"
            ) from error

    def check_schema(self, found: int, known: int) -> None:
        """Refuse tables of a newer Baton."""
        if found > known:
            raise SettingsError(
                f"{self.variable}: the {self.noun} has schema {found}, this Baton "
                f"knows {known}: upgrade Baton"
            )

    def _engine(self, url: str) -> sa.Engine:
        try:
            is_remote = sa.make_url(url).get_driver_name() == "psycopg2"
            patience = dict(PATIENCE) if is_remote else {}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=patience)
        except (exc.ArgumentError, ImportError) as error:
            raise SettingsError(f"{self.variable}: not a database URL: {error}") from error


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
