"""The ledger in SQL: sqlite (WAL, one file) or PostgreSQL, through one SQLAlchemy adapter.

A head moves by compare-and-swap on the `heads` row. Every append also takes the next `revision` of
the whole ledger under that row's lock, so revisions are committed in order and a reader that asks
for "everything above N" misses nothing. No transaction here spans anything but its own statements.
"""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from registry import ledger_tables as tables
from registry.errors import LostRace, SettingsError, Unreachable
from registry.ledger import Door, Draft, Entry, EntryKind, Key, Route, Snapshot

_BUSY_MS = 30_000
_MIGRATION_LOCK = 0x6261746F  # any constant: the advisory lock of schema changes


class SqlLedger:
    """The `Ledger` port over a SQLAlchemy URL; makes its tables on first use."""

    def __init__(self, url: str) -> None:
        """Open the database; raises Unreachable, or SettingsError for a URL that is none."""
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (exc.ArgumentError, ImportError) as error:
            raise SettingsError(f"BATON_LEDGER_URL: not a database URL: {error}") from error
        if self._engine.dialect.name == "sqlite":
            _tune_sqlite(self._engine)
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            with _reaching(), _migrating(self._engine):
                self._make_tables()
        except (exc.DatabaseError, OSError) as error:
            raise SettingsError(
                f"BATON_LEDGER_URL: no ledger can be kept there: {error}"
            ) from error

    @cached_property
    def id(self) -> str:
        """See `Ledger.id`."""
        return str(self._read(sa.select(tables.ledger.c.id))[0].id)

    def head(self, model: str) -> Entry | None:
        """See `Ledger.head`."""
        rows = self._read(_select_heads().where(tables.entries.c.model == model))
        return _entry(rows[0]) if rows else None

    def heads(self, *, since: int = 0) -> Sequence[Entry]:
        """See `Ledger.heads`."""
        newer = (
            _select_heads()
            .where(tables.entries.c.revision > since)
            .order_by(tables.entries.c.revision)
        )
        return [_entry(row) for row in self._read(newer)]

    def history(self, model: str) -> Sequence[Entry]:
        """See `Ledger.history`."""
        query = sa.select(tables.entries).where(tables.entries.c.model == model)
        return [_entry(row) for row in self._read(query.order_by(tables.entries.c.revision.desc()))]

    def append(self, draft: Draft, *, expected: Entry | None, at_ms: int) -> Entry:
        """See `Ledger.append`."""
        with _reaching(), self._engine.begin() as connection:
            connection.execute(
                sa.update(tables.ledger).values(revision=tables.ledger.c.revision + 1)
            )
            ledger = connection.execute(sa.select(tables.ledger)).one()
            entry = _placed(draft, expected, ledger, at_ms)
            _move_head(connection, entry, expected)
            connection.execute(sa.insert(tables.entries).values(_row(entry)))
        return entry

    def mark_synced(self, entry: Entry, snapshot: Snapshot) -> None:
        """See `Ledger.mark_synced`."""
        self._write(
            sa.update(tables.entries)
            .where(tables.entries.c.revision == entry.revision)
            .values(snapshot=json.dumps(snapshot.to_json()))
        )

    def record_report(self, body: Mapping[str, Any]) -> str:
        """See `Ledger.record_report`."""
        report = str(uuid.uuid4())
        self._write(sa.insert(tables.reports).values(id=report, body=json.dumps(body)))
        return report

    def acquire_lease(self, name: str, *, holder: str, now_ms: int, ttl_ms: int) -> bool:
        """See `Ledger.acquire_lease`."""
        free = sa.or_(tables.leases.c.holder == holder, tables.leases.c.expires_ms < now_ms)
        values = {"holder": holder, "expires_ms": now_ms + ttl_ms}
        with _reaching(), self._engine.begin() as connection:
            mine = sa.update(tables.leases).where(tables.leases.c.name == name, free).values(values)
            if connection.execute(mine).rowcount:
                return True
            taken = sa.select(tables.leases.c.name).where(tables.leases.c.name == name)
            if connection.execute(taken).first():
                return False
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(tables.leases).values(name=name, **values))
            except exc.IntegrityError:
                return False
            return True

    def release_lease(self, name: str, *, holder: str) -> None:
        """See `Ledger.release_lease`."""
        mine = sa.and_(tables.leases.c.name == name, tables.leases.c.holder == holder)
        self._write(sa.delete(tables.leases).where(mine))

    def write_status(self, node: str, body: Mapping[str, Any], *, at_ms: int) -> None:
        """See `Ledger.write_status`."""
        values = {"at_ms": at_ms, "body": json.dumps(body)}
        with _reaching(), self._engine.begin() as connection:
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
        with _reaching(), self._readers.connect() as connection:
            return connection.execute(query).all()

    def _write(self, statement: sa.Insert | sa.Update | sa.Delete) -> None:
        with _reaching(), self._engine.begin() as connection:
            connection.execute(statement)

    def _make_tables(self) -> None:
        """Make what is missing; refuse a schema newer than this code."""
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            tables.metadata.create_all(connection)
            row = connection.execute(sa.select(tables.ledger)).first()
            if row is None:
                connection.execute(
                    sa.insert(tables.ledger).values(
                        id=str(uuid.uuid4()),
                        schema_version=tables.SCHEMA_VERSION,
                        epoch=1,
                        revision=0,
                    )
                )
            elif row.schema_version > tables.SCHEMA_VERSION:
                raise SettingsError(
                    f"BATON_LEDGER_URL: the ledger has schema {row.schema_version}, this Baton "
                    f"knows {tables.SCHEMA_VERSION}: upgrade Baton"
                )


def _select_heads() -> sa.Select[Any]:
    return sa.select(tables.entries).join(
        tables.heads, tables.heads.c.revision == tables.entries.c.revision
    )


def _placed(draft: Draft, expected: Entry | None, ledger: sa.Row[Any], at_ms: int) -> Entry:
    """`draft` right after `expected`; the first entry of an epoch is seq 1."""
    same_epoch = expected is not None and expected.key.epoch == ledger.epoch
    seq = expected.key.seq + 1 if expected and same_epoch else 1
    return Entry(
        model=draft.model,
        kind=draft.kind,
        routes=draft.routes,
        actor=draft.actor,
        door=draft.door,
        reason=draft.reason,
        report=draft.report,
        key=Key(ledger.epoch, seq),
        revision=ledger.revision,
        at_ms=at_ms,
        previous_hash=expected.hash if expected else "",
    )


def _move_head(connection: sa.Connection, entry: Entry, expected: Entry | None) -> None:
    """Compare-and-swap; raises LostRace, which undoes the whole transaction."""
    if expected is None:
        try:
            with connection.begin_nested():
                connection.execute(
                    sa.insert(tables.heads).values(model=entry.model, revision=entry.revision)
                )
        except exc.IntegrityError as error:
            raise _lost(entry.model) from error
        return
    here = sa.and_(
        tables.heads.c.model == entry.model, tables.heads.c.revision == expected.revision
    )
    moved = connection.execute(sa.update(tables.heads).where(here).values(revision=entry.revision))
    if not moved.rowcount:
        raise _lost(entry.model)


def _lost(model: str) -> LostRace:
    return LostRace(
        f"{model}: Production changed while this was being judged; look at "
        f"`python -m registry history {model}` and run the command again if it is still wanted"
    )


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "model": entry.model,
        "epoch": entry.key.epoch,
        "seq": entry.key.seq,
        "kind": entry.kind.value,
        "routes": json.dumps([route.to_json() for route in entry.routes]),
        "actor": entry.actor,
        "door": entry.door.value,
        "reason": entry.reason,
        "report": entry.report,
        "at_ms": entry.at_ms,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(
        model=row.model,
        kind=EntryKind(row.kind),
        routes=tuple(Route.from_json(route) for route in json.loads(row.routes)),
        actor=row.actor,
        door=Door(row.door),
        reason=row.reason,
        report=row.report,
        key=Key(row.epoch, row.seq),
        revision=row.revision,
        at_ms=row.at_ms,
        previous_hash=row.previous_hash,
        snapshot=Snapshot.from_json(json.loads(row.snapshot)) if row.snapshot else None,
    )


@contextmanager
def _reaching() -> Iterator[None]:
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
