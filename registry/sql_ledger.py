"""The ledger in SQL: sqlite (WAL, one file) or PostgreSQL, through one SQLAlchemy adapter.

A head moves by compare-and-swap on the `heads` row. Every append also takes the next `revision` of
the whole ledger under that row's lock, so revisions are committed in order and a reader that asks
for "everything above N" misses nothing. No transaction here spans anything but its own statements.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from registry import ledger_tables as tables
from registry.chain import Chains
from registry.ledger import BEGINNING, Draft, Entry, Position, Snapshot, Turn
from registry.ledger_database import open_database, reaching
from registry.ledger_rows import appended, select_heads, to_entry, to_link


class SqlLedger:
    """The `Ledger` port over a SQLAlchemy URL; makes its tables on first use."""

    def __init__(self, url: str, *, application: str = "baton") -> None:
        """Open the database; raises Unreachable, or SettingsError for one that cannot be used.

        A node's `application` is its own name: PostgreSQL lets it write that row only.
        """
        self._engine = open_database(url, application=application)
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @cached_property
    def id(self) -> str:
        """See `Ledger.id`."""
        return str(self._read(sa.select(tables.ledger.c.id))[0].id)

    def head(self, model: str) -> Entry | None:
        """See `Ledger.head`."""
        rows = self._read(select_heads().where(tables.entries.c.model == model))
        return to_entry(rows[0]) if rows else None

    def heads(self, *, since: Position = BEGINNING) -> Sequence[Entry]:
        """See `Ledger.heads`."""
        epoch = sa.select(tables.ledger.c.epoch).scalar_subquery()
        read = sa.case((epoch == since.epoch, since.revision), else_=0)
        newer = (
            select_heads().where(tables.heads.c.revision > read).order_by(tables.entries.c.revision)
        )
        return [to_entry(row) for row in self._read(newer)]

    def history(self, model: str) -> Sequence[Entry]:
        """See `Ledger.history`."""
        query = sa.select(tables.entries).where(tables.entries.c.model == model)
        return [
            to_entry(row) for row in self._read(query.order_by(tables.entries.c.revision.desc()))
        ]

    def append(self, draft: Draft, *, expected: Entry | None, at_ms: int) -> Entry:
        """See `Ledger.append`."""
        with reaching(), self._engine.begin() as connection:
            entry = appended(connection, draft, expected, at_ms)
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.text(f"NOTIFY {tables.CHANNEL}"))  # heard once it commits
        return entry

    def mark_synced(self, entry: Entry, snapshot: Snapshot) -> None:
        """See `Ledger.mark_synced`."""
        self._write(
            sa.update(tables.entries)
            .where(tables.entries.c.revision == entry.revision)
            .values(snapshot=json.dumps(snapshot.to_json()))
        )

    def chains(self) -> Chains:
        """The whole ledger as it is stored, for whoever checks it; see `chain.py`."""
        with reaching(), self._engine.begin() as connection:
            ledger = connection.execute(sa.select(tables.ledger)).one()
            heads = connection.execute(sa.select(tables.heads)).all()
            ordered = sa.select(tables.entries).order_by(tables.entries.c.revision)
            links = [to_link(row) for row in connection.execute(ordered)]
        return Chains(tuple(links), {row.model: row.revision for row in heads}, ledger.revision)

    def record_report(self, body: Mapping[str, Any]) -> str:
        """See `Ledger.record_report`."""
        report = str(uuid.uuid4())
        self._write(sa.insert(tables.reports).values(id=report, body=json.dumps(body)))
        return report

    def lease(self, name: str) -> Turn | None:
        """See `Ledger.lease`."""
        rows = self._read(sa.select(tables.leases).where(tables.leases.c.name == name))
        return Turn(rows[0].holder, rows[0].turn) if rows else None

    def take_lease(self, name: str, *, holder: str, after: Turn | None) -> Turn | None:
        """See `Ledger.take_lease`."""
        turn = Turn(holder, after.number + 1 if after else 1)
        values = {"holder": turn.holder, "turn": turn.number}
        with reaching(), self._engine.begin() as connection:
            if after is not None:
                here = sa.and_(
                    tables.leases.c.name == name,
                    tables.leases.c.holder == after.holder,
                    tables.leases.c.turn == after.number,
                )
                taken = connection.execute(sa.update(tables.leases).where(here).values(values))
                return turn if taken.rowcount else None
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(tables.leases).values(name=name, **values))
            except exc.IntegrityError:
                return None
            return turn

    def release_lease(self, name: str, *, holder: str) -> None:
        """See `Ledger.release_lease`."""
        mine = sa.and_(tables.leases.c.name == name, tables.leases.c.holder == holder)
        self._write(sa.delete(tables.leases).where(mine))

    def write_status(self, node: str, body: Mapping[str, Any], *, at_ms: int) -> None:
        """See `Ledger.write_status`."""
        values = {"at_ms": at_ms, "body": json.dumps(body)}
        with reaching(), self._engine.begin() as connection:
            update = sa.update(tables.nodes).where(tables.nodes.c.node == node).values(values)
            if not connection.execute(update).rowcount:
                connection.execute(sa.insert(tables.nodes).values(node=node, **values))

    def statuses(self) -> Mapping[str, Mapping[str, Any]]:
        """See `Ledger.statuses`."""
        rows = self._read(sa.select(tables.nodes))
        return {row.node: {**json.loads(row.body), "at_ms": row.at_ms} for row in rows}

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with reaching(), self._readers.connect() as connection:
            return connection.execute(query).all()

    def _write(self, statement: sa.Insert | sa.Update | sa.Delete) -> None:
        with reaching(), self._engine.begin() as connection:
            connection.execute(statement)
