"""How rows get into the prediction log: `INSERT` on sqlite, `COPY` on PostgreSQL.

What is there already is not inserted again, whoever brought it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, Protocol

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import registry

from registry import predictions_tables as tables
from registry.predictions_rows import Row, copy_lines

_TABLE = tables.predictions
_DIALECT: sa.Dialect = registry.load("postgresql")()
_NAMES = ", ".join(f'"{column.name}"' for column in _TABLE.c)
_VALUES = ", ".join("?" for _ in _TABLE.c)
_INSERT = (
    f"INSERT INTO {_TABLE.name} ({_NAMES}) VALUES ({_VALUES}) "  # noqa: S608 - our own names
    "ON CONFLICT DO NOTHING"
)
_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS baton_staging ({}) ON COMMIT DELETE ROWS".format(
    ", ".join(f'"{one.name}" {one.type.compile(_DIALECT)}' for one in _TABLE.c)
)
_COPY = f"COPY pg_temp.baton_staging ({_NAMES}) FROM STDIN"
# Without a conflict target: naming one asks for the right to read.
_MOVE = (
    f"INSERT INTO {_TABLE.name} ({_NAMES}) "  # noqa: S608 - our own names
    f"SELECT {_NAMES} FROM pg_temp.baton_staging ON CONFLICT DO NOTHING"
)
_CLEAR = "DELETE FROM pg_temp.baton_staging"  # empty, but for the other half of a batch
# Of PostgreSQL's errors: data, constraints and limits are about what was to be inserted …
_OF_THE_DATA: Final = frozenset({"22", "23", "54"})
# … but for a row that finds no partition.
_NO_PARTITION: Final = "23514"


class Inserting(Protocol):
    """The way of one kind of database."""

    def prepare(self, days: Iterable[str]) -> None:
        """Make the place for records of these days (ISO 8601)."""

    def forget(self) -> None:
        """Some of these places may be gone: look again."""

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Insert what is not there yet, in the caller's transaction; how many were new."""


def inserting(engine: sa.Engine) -> Inserting:
    """The way for this engine."""
    return Copying(engine) if engine.dialect.name == "postgresql" else Plain()


def is_of_the_data(error: exc.DBAPIError | OverflowError) -> bool:
    """Whether the rows are at fault, and others would have been taken."""
    if isinstance(error, OverflowError):  # sqlite's driver says so of an integer
        return True
    code = getattr(error.orig, "pgcode", None)
    if code:
        return code[:2] in _OF_THE_DATA and code != _NO_PARTITION
    return isinstance(error, exc.DataError | exc.IntegrityError)


def is_of_a_day(error: exc.DBAPIError) -> bool:
    """Whether a row found no partition."""
    return getattr(error.orig, "pgcode", None) == _NO_PARTITION


class Plain:
    """One table for all days."""

    def prepare(self, days: Iterable[str]) -> None:
        """See `Inserting.prepare`."""

    def forget(self) -> None:
        """See `Inserting.forget`."""

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """See `Inserting.insert`."""
        return connection.exec_driver_sql(_INSERT, list(rows)).rowcount if rows else 0


class Copying:
    """Into a temporary table first, since COPY itself knows no conflicts."""

    def __init__(self, engine: sa.Engine) -> None:
        """Partitions are made over connections of `engine`, beside the transactions of others."""
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._known: set[str] = set()

    def prepare(self, days: Iterable[str]) -> None:
        """See `Inserting.prepare`; in transactions of its own, so that it holds no lock."""
        missing = set(days) - self._known
        if not missing:
            return
        with self._engine.connect() as connection:
            for day in sorted(missing):
                made = sa.func.baton_predictions_day(sa.cast(day, sa.Date))
                connection.execute(sa.select(made))
                self._known.add(day)

    def forget(self) -> None:
        """See `Inserting.forget`."""
        self._known.clear()

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """See `Inserting.insert`."""
        if not rows:
            return 0
        connection.exec_driver_sql(_STAGE)
        connection.exec_driver_sql(_CLEAR)
        with self._errors(_COPY), closing(connection.connection.cursor()) as cursor:
            cursor.copy_expert(_COPY, io.BytesIO(copy_lines(rows)))
        return connection.exec_driver_sql(_MOVE).rowcount

    @contextmanager
    def _errors(self, statement: str) -> Iterator[None]:
        """The driver's errors as SQLAlchemy's, which does not see this cursor."""
        driver = self._engine.dialect.dbapi
        assert driver is not None
        try:
            yield
        except driver.Error as error:
            raise exc.DBAPIError.instance(
                statement, None, error, driver.Error, dialect=self._engine.dialect
            ) from error
