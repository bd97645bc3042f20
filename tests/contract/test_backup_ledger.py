"""A ledger in a backup and back again, in sqlite and PostgreSQL, and how readers follow it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.backup.history import LedgerRows
from registry.chain import first_break
from registry.errors import SettingsError, Underway
from registry.heads import Heads
from registry.ledger import EntryKind, Key, Role, Snapshot
from registry.sql_ledger import SqlLedger
from serving.node.heads import LedgerHeads
from tests.fakes import draft, route

Open = Callable[[], SqlLedger]
SHOWN = Snapshot({1: "Archived", 2: "Production"}, 2)


@pytest.fixture
def saved(ledger: SqlLedger, url: str) -> bytes:
    """Two models, one of them retired; the other's head was drawn."""
    first = ledger.append(draft("iris", 1), expected=None, at_ms=1)
    head = ledger.append(draft("iris", 2, report="r"), expected=first, at_ms=2)
    ledger.mark_synced(head, SHOWN)
    petr4 = ledger.append(draft("petr4", 1), expected=None, at_ms=3)
    ledger.append(draft("petr4", kind=EntryKind.RETIRE, routes=()), expected=petr4, at_ms=4)
    ledger.record_report({"élan": [1, None]})
    ledger.write_status("node-1", {}, at_ms=5)
    return save(url)


def save(url: str) -> bytes:
    rows, into = LedgerRows(url), io.BytesIO()
    rows.save(into)
    rows.close()
    return into.getvalue()


def load(url: str, saved: bytes, *, epoch: int) -> None:
    rows = LedgerRows(url)
    rows.load(saved.splitlines(), epoch=epoch, actor="eve", why="restored", at_ms=9)
    rows.close()


def test_every_head_is_said_again_in_the_new_epoch(
    saved: bytes, ledger: SqlLedger, url: str
) -> None:
    before = {model: ledger.history(model) for model in ("iris", "petr4")}
    load(url, saved, epoch=5)
    for model, old in before.items():
        newest, *rest = ledger.history(model)
        assert rest == old
        assert newest.key == Key(5, 1)
        assert newest.kind is EntryKind.RESTORE
        assert (newest.actor, newest.reason, newest.at_ms) == ("eve", "restored", 9)
        assert newest.routes == old[0].routes
        assert newest.report == old[0].report
        assert newest.snapshot == old[0].snapshot
    assert first_break(ledger.chains()) is None
    assert ledger.statuses() == {}
    following = ledger.append(draft("iris", 3), expected=ledger.head("iris"), at_ms=10)
    assert following.key == Key(5, 2)


def test_what_was_beside_a_head_is_not_said_again(ledger: SqlLedger, url: str) -> None:
    head = ledger.append(draft("iris", 1), expected=None, at_ms=1)
    ledger.mark_synced(head, SHOWN)
    arm = route(2, role=Role.SPLIT, weight=0.1, until_ms=99)
    routes = (*head.routes, arm)
    split = draft("iris", kind=EntryKind.SPLIT, routes=routes, report="of v2")
    head = ledger.append(split, expected=head, at_ms=2)
    ledger.mark_synced(head, SHOWN)
    load(url, save(url), epoch=2)
    again, before, _ = ledger.history("iris")
    assert (before.kind, before.arm) == (EntryKind.SPLIT, arm)
    assert (again.kind, again.routes, again.report) == (EntryKind.RESTORE, head.routes[:1], None)
    assert again.snapshot is None, "that it ended is to be drawn"
    assert first_break(ledger.chains()) is None


def test_it_moves_between_kinds_of_database(
    saved: bytes, ledger: SqlLedger, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    load(other, saved, epoch=2)
    moved = SqlLedger(other)
    assert moved.id == ledger.id
    assert moved.history("iris")[1:] == ledger.history("iris")
    assert first_break(moved.chains()) is None
    moved.close()


def test_a_reader_that_had_seen_higher_numbers_follows(
    saved: bytes, ledger: SqlLedger, url: str
) -> None:
    for number in range(3, 30):
        ledger.append(draft("iris", number), expected=ledger.head("iris"), at_ms=number)
    node, registrar = LedgerHeads(lambda: ledger), Heads(ledger)
    assert len(list(node.news())) == len(registrar.look()) == 2
    assert list(node.news()) == []
    load(url, saved, epoch=2)
    assert {aspired.model: aspired.key for aspired in node.news()} == {
        "iris": Key(2, 1),
        "petr4": Key(2, 1),
    }
    assert {head.key for head in registrar.look()} == {Key(2, 1)}
    assert list(node.news()) == []
    ledger.append(draft("iris", 9), expected=ledger.head("iris"), at_ms=30)
    assert [aspired.key for aspired in node.news()] == [Key(2, 2)]


def test_a_load_that_breaks_off_leaves_the_ledger_as_it_was(
    saved: bytes, ledger: SqlLedger, url: str
) -> None:
    before = ledger.chains()
    rows = LedgerRows(url)
    with pytest.raises(ValueError, match="Unterminated"):
        rows.load([*saved.splitlines(), b'{"x'], epoch=2, actor="e", why="w", at_ms=1)
    rows.close()
    assert ledger.chains() == before


def test_what_somebody_wrote_into_the_ledger_is_told(saved: bytes, tmp_path: Path) -> None:
    changed = saved.replace(b'"ada"', b'"eve"', 1)
    assert changed != saved
    url = f"sqlite:///{tmp_path / 'changed.db'}"
    load(url, changed, epoch=2)
    rows = LedgerRows(url)
    assert "iris 1.1 (revision 1): was changed" in rows.read().problem
    rows.close()


def test_a_newer_schema_is_refused(saved: bytes, url: str) -> None:
    newer = saved.replace(b'"schema_version": ', b'"schema_version": 9')
    with pytest.raises(SettingsError, match="upgrade Baton"):
        load(url, newer, epoch=2)


def test_two_backups_of_a_ledger_never_run_at_once(ledger: SqlLedger, url: str) -> None:
    one, other = LedgerRows(url), LedgerRows(url)
    with one.alone(), pytest.raises(Underway, match="another backup"), other.alone():
        pass
    with other.alone():
        pass
    one.close()
    other.close()
