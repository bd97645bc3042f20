"""What a database of Baton's own is to hold: tables by a number, and how older ones get there.

New tables are made from their definition, older ones are changed step by step (`migrations/`). The
one row of `row` says which number is there, and the oldest code that may go on with it. Pure of
addresses and of nouns for people: `database.py` has those.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The tables of one `part` ("ledger", "jobs"), as this code knows them.

    `newest` numbers them; code that knows only `since` or later can go on with them. `first` gives
    what else the row has when the tables are made.
    """

    part: str
    newest: int
    since: int
    metadata: sa.MetaData
    row: sa.Table
    number_column: sa.Column[int]
    since_column: sa.Column[int]
    first: Callable[[], Mapping[sa.Column[Any], object]] = dict

    def found(self, connection: sa.Connection) -> int | None:
        """The number of the tables that are there; None where there are none."""
        if not sa.inspect(connection).has_table(self.row.name):
            return None
        return connection.scalar(sa.select(self.number_column))

    def may_go_on(self, connection: sa.Connection) -> bool:
        """Whether tables that are newer than this code say that it may go on with them."""
        since = connection.scalar(sa.select(self.since_column))
        return since is not None and since <= self.newest

    def make(self, connection: sa.Connection) -> None:
        """Make all tables at once, and their row."""
        self.metadata.create_all(connection)
        connection.execute(sa.insert(self.row).values({**self.first(), **self._stamp()}))

    def change(self, connection: sa.Connection, found: int) -> None:
        """Change tables numbered `found` step by step. Raises ImportError without Alembic."""
        # By name: whoever opens a database that is up to date has no need of Alembic.
        migrations = importlib.import_module("registry.migrations")
        migrations.apply(connection, self.part, range(found + 1, self.newest + 1))
        connection.execute(sa.update(self.row).values(self._stamp()))

    def _stamp(self) -> dict[sa.Column[int], int]:
        return {self.number_column: self.newest, self.since_column: self.since}
