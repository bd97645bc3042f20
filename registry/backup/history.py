"""The ledger in a backup: its rows as lines of JSON, and back again.

Restoring is one transaction: the rows are put in, then every model's head is said again in a new
epoch. So a node that served something newer follows, however high the numbers it had seen were.
What was beside it is not said again: it may have been stopped since, and for a reason.
What is not kept: leases and what nodes said last, which are over; jobs.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import sqlalchemy as sa

from registry import ledger_tables as tables
from registry.chain import Chains, first_break
from registry.errors import SettingsError, Underway
from registry.ledger import Door, Draft, Entry, EntryKind, Route
from registry.ledger_database import open_database, reaching
from registry.ledger_rows import appended, select_heads, to_link

_KEPT: Final = {
    table.name: table for table in (tables.ledger, tables.reports, tables.entries, tables.heads)
}
_EMPTIED: Final = (tables.heads, tables.entries, tables.reports, tables.leases, tables.nodes)
_LOCK = 0x6261746F + 1  # any constant: the advisory lock of backups
_AT_ONCE = 500


@dataclass(frozen=True)
class History:
    """What a backup says of the ledger in it; `routes` are all that its entries name, once."""

    id: str
    epoch: int
    revision: int
    entries: int
    problem: str
    heads: Mapping[str, Entry]
    routes: Sequence[tuple[str, Route]]

    def to_json(self) -> dict[str, Any]:
        """As it stands in `backup.json`."""
        own = {"id": self.id, "epoch": self.epoch, "revision": self.revision}
        return {**own, "entries": self.entries, "models": len(self.heads)}


class LedgerRows:
    """The tables of one ledger."""

    def __init__(self, url: str) -> None:
        """Open the database; raises Unreachable, or SettingsError for a URL that is none."""
        self._engine = open_database(url)
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._is_sqlite = self._engine.dialect.name == "sqlite"

    @property
    def id(self) -> str:
        """The ledger's id."""
        return str(self._one(tables.ledger.c.id))

    @property
    def revision(self) -> int:
        """How many entries were ever appended."""
        return int(self._one(tables.ledger.c.revision))

    @property
    def epoch(self) -> int:
        """The epoch that it is in."""
        return int(self._one(tables.ledger.c.epoch))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of backups and restorations, or raise Underway; it ends with its holder."""
        if self._is_sqlite:
            with Path(f"{self._engine.url.database}.backup").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise _busy() from None
                yield
            return
        with ExitStack() as stack:
            with reaching():
                connection = stack.enter_context(self._readers.connect())
                connection.detach()  # closed at the end, and the lock with it, instead of kept
                taken = connection.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK)))
            if not taken.scalar_one():
                raise _busy()
            yield

    def save(self, into: IO[bytes]) -> History:
        """Write every row that is kept, as of one moment."""
        # A transaction on sqlite is alone as it is.
        as_of_one = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with reaching(), self._engine.execution_options(**as_of_one).begin() as connection:
            for name, table in _KEPT.items():
                for row in connection.execute(sa.select(table)).mappings():
                    into.write(json.dumps({name: dict(row)}).encode() + b"\n")
            return _history(connection)

    def load(self, lines: Iterable[bytes], *, epoch: int, actor: str, why: str, at_ms: int) -> None:
        """Make the ledger what was saved, and say every head again in `epoch`."""
        with reaching(), self._engine.begin() as connection:
            for table in _EMPTIED:
                connection.execute(sa.delete(table))
            _fill(connection, lines)
            connection.execute(sa.update(tables.ledger).values(epoch=epoch))
            for row in connection.execute(select_heads().order_by(tables.heads.c.revision)).all():
                head = to_link(row).entry
                if head is None:
                    continue  # somebody wrote into it: `verify` says so, and nothing serves by it
                again = Draft(
                    model=head.model,
                    kind=EntryKind.RESTORE,
                    routes=(head.route,) if head.route else (),
                    actor=actor,
                    door=Door.COMMAND,
                    reason=why,
                    report=None if head.arm else head.report,
                )
                entry = appended(connection, again, head, at_ms)
                if head.arm:
                    continue  # the registrar draws that it ended
                # MLflow's database shows what it showed then: there is nothing to be drawn.
                connection.execute(
                    sa.update(tables.entries)
                    .where(tables.entries.c.revision == entry.revision)
                    .values(snapshot=row.snapshot)
                )
            if not self._is_sqlite:
                connection.execute(sa.text(f"NOTIFY {tables.CHANNEL}"))

    def read(self) -> History:
        """What is in the ledger now."""
        with reaching(), self._engine.begin() as connection:
            return _history(connection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _one(self, column: sa.Column[Any]) -> Any:
        with reaching(), self._readers.connect() as connection:
            return connection.execute(sa.select(column)).scalar_one()


def _fill(connection: sa.Connection, lines: Iterable[bytes]) -> None:
    """Insert saved rows, some at a time."""
    name, rows = "", list[dict[str, Any]]()
    for line in lines:
        [(table, row)] = json.loads(line).items()
        if table == tables.ledger.name:
            _take_over(connection, row)
            continue
        if rows and (table != name or len(rows) == _AT_ONCE):
            connection.execute(sa.insert(_KEPT[name]), rows)
            rows = []
        name = table
        rows.append(row)
    if rows:
        connection.execute(sa.insert(_KEPT[name]), rows)


def _take_over(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Be that ledger; how old the tables are stays as it is here."""
    if row["schema_version"] > tables.SCHEMA_VERSION:
        raise SettingsError(
            f"the ledger in this backup has schema {row['schema_version']}, this Baton knows "
            f"{tables.SCHEMA_VERSION}: upgrade Baton"
        )
    own = {name: row[name] for name in ("id", "revision")}
    connection.execute(sa.update(tables.ledger).values(own))


def _history(connection: sa.Connection) -> History:
    ledger = connection.execute(sa.select(tables.ledger)).one()
    ordered = sa.select(tables.entries).order_by(tables.entries.c.revision)
    links = [to_link(row) for row in connection.execute(ordered)]
    heads = {row.model: row.revision for row in connection.execute(sa.select(tables.heads))}
    broken = first_break(Chains(tuple(links), heads, ledger.revision))
    entries = {link.revision: link.entry for link in links if link.entry}
    named = {
        (entry.model, route.version, route.source, route.digest): (entry.model, route)
        for entry in entries.values()
        for route in entry.routes
    }
    return History(
        id=ledger.id,
        epoch=ledger.epoch,
        revision=ledger.revision,
        entries=len(links),
        problem=f"the ledger is broken: {broken}" if broken else "",
        heads={model: entries[at] for model, at in heads.items() if at in entries},
        routes=list(named.values()),
    )


def _busy() -> Underway:
    return Underway("another backup or restoration of this ledger is running; wait for its end")
