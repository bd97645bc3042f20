"""Entries as rows of the ledger's tables, and how a head moves from one to the next."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from registry import ledger_tables as tables
from registry.chain import Link
from registry.errors import LostRace
from registry.ledger import Door, Draft, Entry, EntryKind, Key, Route, Snapshot


def select_heads() -> sa.Select[Any]:
    """Every model's newest entry."""
    return sa.select(tables.entries).join(
        tables.heads, tables.heads.c.revision == tables.entries.c.revision
    )


def appended(connection: sa.Connection, draft: Draft, expected: Entry | None, at_ms: int) -> Entry:
    """Append `draft` after `expected` in the caller's transaction; raises LostRace."""
    connection.execute(sa.update(tables.ledger).values(revision=tables.ledger.c.revision + 1))
    ledger = connection.execute(sa.select(tables.ledger)).one()
    entry = placed(draft, expected, ledger, at_ms)
    move_head(connection, entry, expected)
    connection.execute(sa.insert(tables.entries).values(to_row(entry)))
    return entry


def placed(draft: Draft, expected: Entry | None, ledger: sa.Row[Any], at_ms: int) -> Entry:
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


def move_head(connection: sa.Connection, entry: Entry, expected: Entry | None) -> None:
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


def to_row(entry: Entry) -> dict[str, Any]:
    """An entry as it is inserted: pending."""
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


def to_entry(row: sa.Row[Any]) -> Entry:
    """The reverse; ValueError, KeyError or TypeError if somebody wrote into the row."""
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


def to_link(row: sa.Row[Any]) -> Link:
    """An entry with what is stored beside it, even one that somebody wrote into."""
    try:
        entry = to_entry(row)
    except (ValueError, KeyError, TypeError, AttributeError):
        entry = None
    return Link(row.revision, row.model, Key(row.epoch, row.seq), row.hash, entry)
