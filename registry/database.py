"""Opening a database of Baton's own: sqlite (WAL, one file) or PostgreSQL, by its address alone.

Tables that are missing or old are made and changed on the way, one process at a time, by whoever
may; one that is up to date is only looked at. What is kept is said by `ledger_database.py`,
`jobs_database.py` and `predictions_database.py`.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from registry.errors import BatonError, SettingsError, Unreachable
from registry.grants import grant
from registry.schema import Schema

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
# A process that stands still in the middle of a transaction is ended by the server, and with it the
# locks that others wait for. No transaction here waits for anything but its own statements.
IDLE_SECONDS = 60
_MIGRATION_LOCK = 0x6261746F  # any constant: the advisory lock of schema changes
# Whoever reads a table waits behind a change that waits for a backup: not for longer than this.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '3s'"
_REFUSED = "42501"  # what PostgreSQL calls insufficient privilege
_MIGRATE = "run `python -m registry migrate` as the role that owns its tables"


@dataclass(frozen=True)
class Migrated:
    """What was done to a schema: the number before (None: no tables) and now, who was granted."""

    before: int | None
    now: int
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """What a database is for: a noun for messages, the variable with its address, its tables."""

    noun: str
    variable: str
    schema: Schema

    def open(self, url: str, *, application: str = "baton") -> sa.Engine:
        """The engine, its tables there and usable by this code.

        PostgreSQL shows the connections under the name `application`. Raises Unreachable, or
        SettingsError for a URL that is none, and for tables that this code or this role cannot use.
        """
        engine = self._engine(url, application)
        try:
            with self._preparing(engine):
                if not self._is_usable(engine):
                    self._bring_up(engine)
        except BatonError:
            engine.dispose()
            raise
        return engine

    def migrate(self, url: str) -> Migrated:
        """Make or change the tables, and grant them again; nothing is done to newer ones.

        Raises as `open` does.
        """
        engine = self._engine(url, "baton-migrate")
        try:
            with self._preparing(engine):
                return self._bring_up(engine)
        finally:
            engine.dispose()

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Turn the driver's connection errors into Unreachable, a refusal into SettingsError."""
        try:
            yield
        # InternalError is what a session meets that the server ended in its transaction.
        except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
            raise self._unreachable(error.orig) from error
        except exc.ProgrammingError as error:
            if not _is_refused(error):
                raise
            raise SettingsError(
                f"{self.variable}: its role may not do this: {_first_line(error)}; "
                "docs/databases.md says which role is for what"
            ) from error
        except Exception as error:
            if _is_of_the_driver(error):
                raise self._unreachable(error) from error
            raise

    def _unreachable(self, why: BaseException | None) -> Unreachable:
        said = " ".join(str(why).split())
        return Unreachable(f"{self.noun}: {said}; check {self.variable} and that its database runs")

    @contextmanager
    def _preparing(self, engine: sa.Engine) -> Iterator[None]:
        """One process at a time on a sqlite file; errors of a database that cannot be used."""
        try:
            with self.reaching(), _alone(engine):
                yield
        except (exc.DatabaseError, OSError) as error:
            raise SettingsError(
                f"{self.variable}: no {self.noun} can be kept there: {error}"
            ) from error

    def _is_usable(self, engine: sa.Engine) -> bool:
        """Whether nothing has to be made or changed; a look that takes no lock."""
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            found = self.schema.found(connection)
            self._refuse_newer(connection, found)
            return found is not None and found >= self.schema.newest

    def _bring_up(self, engine: sa.Engine) -> Migrated:
        """Make the tables or change them, and grant them, in one transaction."""
        found: int | None = None
        try:
            with engine.begin() as connection:
                if engine.dialect.name == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                    connection.exec_driver_sql(_LOCK_TIMEOUT)
                found = self.schema.found(connection)
                self._refuse_newer(connection, found)
                if found is not None and found > self.schema.newest:
                    return Migrated(found, found, ())
                if found is None:
                    self.schema.make(connection)
                elif found < self.schema.newest:
                    self.schema.change(connection, found)
                roles = grant(connection, self.schema.part)
        except exc.ProgrammingError as error:
            if not _is_refused(error):
                raise
            why = f"its role may not change that ({_first_line(error)})"
            raise SettingsError(f"{self._old(found)}, {why}: {_MIGRATE}") from error
        except ImportError as error:
            why = f"what changes it is not installed here ({error})"
            raise SettingsError(f"{self._old(found)}, {why}: {_MIGRATE}") from error
        return Migrated(found, self.schema.newest, roles)

    def _old(self, found: int | None) -> str:
        there = "is not there yet" if found is None else f"has schema {found}"
        needs = f"this Baton needs schema {self.schema.newest}"
        return f"{self.variable}: the {self.noun} {there}, {needs}"

    def _refuse_newer(self, connection: sa.Connection, found: int | None) -> None:
        """Refuse tables of a newer Baton, unless they say that this one may go on with them."""
        known = self.schema.newest
        if found is None or found <= known or self.schema.may_go_on(connection):
            return
        raise SettingsError(
            f"{self.variable}: the {self.noun} has schema {found}, this Baton "
            f"knows {known}: upgrade Baton"
        )

    def _engine(self, url: str, application: str) -> sa.Engine:
        try:
            is_remote = sa.make_url(url).get_driver_name() == "psycopg2"
            connect = {**PATIENCE, "application_name": application} if is_remote else {}
            engine = sa.create_engine(url, pool_pre_ping=True, connect_args=connect)
        except (exc.ArgumentError, ImportError) as error:
            raise SettingsError(f"{self.variable}: not a database URL: {error}") from error
        if engine.dialect.name == "sqlite":
            _tune_sqlite(engine)
        elif is_remote:
            _tune_postgres(engine)
        return engine


def _is_of_the_driver(error: Exception) -> bool:
    """Whether the connection was lost as it was given back: that comes as the driver raised it."""
    return any(
        kind.__module__ == "psycopg2" and kind.__name__ in {"OperationalError", "InterfaceError"}
        for kind in type(error).__mro__
    )


def _is_refused(error: exc.ProgrammingError) -> bool:
    return getattr(error.orig, "pgcode", None) == _REFUSED


def _first_line(error: exc.ProgrammingError) -> str:
    return str(error.orig).partition("\n")[0]


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Let one process at a time open a sqlite file; PostgreSQL has locks of its own."""
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") if path else nullcontext() as file:
        if file:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tune_postgres(engine: sa.Engine) -> None:
    """By a statement and not by a parameter of the connection, which poolers do not pass on."""

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        connection.commit()


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
