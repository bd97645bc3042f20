"""One suite over every database a ledger is kept in: sqlite and PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from registry import ledger_tables as tables
from registry.chain import first_break
from registry.errors import LostRace
from registry.ledger import BEGINNING, Door, Entry, EntryKind, Key, Role, Snapshot
from registry.sql_ledger import SqlLedger
from tests.fakes import draft, route

ROUNDS = 50
Open = Callable[[], SqlLedger]


def outcome(append: Callable[[], Entry]) -> Entry | None:
    """The entry, or None for who lost."""
    try:
        return append()
    except LostRace:
        return None


def test_a_new_ledger_is_empty(ledger: SqlLedger) -> None:
    assert ledger.head("iris") is None
    assert ledger.heads() == []
    assert ledger.history("iris") == []
    assert ledger.statuses() == {}


def test_what_is_appended_is_read_back_whole(ledger: SqlLedger, open_ledger: Open) -> None:
    wanted = draft(version=3, report="r-1", door=Door.MLFLOW, reason="élan “so” 'it' is")
    entry = ledger.append(wanted, expected=None, at_ms=5)
    assert entry.key == Key(1, 1)
    assert entry.routes == wanted.routes
    assert (entry.reason, entry.report, entry.at_ms) == (wanted.reason, "r-1", 5)
    assert entry.snapshot is None
    assert open_ledger().head("iris") == entry
    assert open_ledger().head("other") is None


def test_a_second_entry_follows_the_first(ledger: SqlLedger) -> None:
    first = ledger.append(draft(version=1), expected=None, at_ms=1)
    second = ledger.append(draft(version=2, kind=EntryKind.ROLLBACK), expected=first, at_ms=2)
    assert second.key == Key(1, 2) > first.key
    assert ledger.head("iris") == second
    assert ledger.history("iris") == [second, first]


def test_an_entry_without_routes_retires_its_model(ledger: SqlLedger) -> None:
    first = ledger.append(draft(version=1), expected=None, at_ms=1)
    wanted = draft(kind=EntryKind.RETIRE, routes=())
    retired = ledger.append(wanted, expected=first, at_ms=2)
    assert ledger.head("iris") == retired
    assert (retired.key, retired.route, retired.digest) == (Key(1, 2), None, "")
    assert ledger.heads(since=first.position) == [retired]


def test_a_route_beside_the_one_that_serves_is_read_back_whole(
    ledger: SqlLedger, open_ledger: Open
) -> None:
    first = ledger.append(draft(version=1), expected=None, at_ms=1)
    arm = route(2, role=Role.SPLIT, weight=0.125, sticky="header:X-User-Id", until_ms=1 << 41)
    wanted = draft(kind=EntryKind.SPLIT, routes=(*first.routes, arm))
    split = ledger.append(wanted, expected=first, at_ms=2)
    found = open_ledger().head("iris")
    assert found == split
    assert (found.kind, found.route, found.arm) == (EntryKind.SPLIT, first.route, arm)
    assert found.digest == first.digest
    assert first_break(ledger.chains()) is None
    stop = draft(kind=EntryKind.STOP, routes=first.routes)
    assert ledger.append(stop, expected=split, at_ms=3).arm is None


def test_models_have_orders_of_their_own(ledger: SqlLedger) -> None:
    iris = ledger.append(draft("iris"), expected=None, at_ms=1)
    petr4 = ledger.append(draft("petr4"), expected=None, at_ms=2)
    assert iris.key == petr4.key == Key(1, 1)
    assert ledger.heads() == [iris, petr4]
    assert ledger.history("petr4") == [petr4]


def test_heads_since_a_revision_are_only_the_newer_ones(ledger: SqlLedger) -> None:
    iris = ledger.append(draft("iris"), expected=None, at_ms=1)
    petr4 = ledger.append(draft("petr4"), expected=None, at_ms=2)
    assert ledger.heads(since=iris.position) == [petr4]
    again = ledger.append(draft("iris", version=2), expected=iris, at_ms=3)
    assert ledger.heads(since=iris.position) == [petr4, again]
    assert ledger.heads(since=again.position) == []


def test_an_entry_after_a_head_that_moved_loses_and_leaves_nothing(ledger: SqlLedger) -> None:
    first = ledger.append(draft(version=1), expected=None, at_ms=1)
    second = ledger.append(draft(version=2), expected=first, at_ms=2)
    for expected in (first, None):
        with pytest.raises(LostRace, match="iris"):
            ledger.append(draft(version=3), expected=expected, at_ms=3)
    assert ledger.history("iris") == [second, first]
    third = ledger.append(draft(version=3), expected=second, at_ms=4)
    assert third.revision == second.revision + 1


def test_of_two_simultaneous_appends_exactly_one_wins(open_ledger: Open) -> None:
    writers = [open_ledger(), open_ledger()]
    with ThreadPoolExecutor(len(writers)) as pool:
        for number in range(1, ROUNDS + 1):
            head, together = writers[0].head("iris"), Barrier(len(writers))

            def race(
                writer: SqlLedger,
                number: int = number,
                head: Entry | None = head,
                together: Barrier = together,
            ) -> Entry | None:
                together.wait()
                wanted = draft(version=number)
                return outcome(lambda: writer.append(wanted, expected=head, at_ms=number))

            results = list(pool.map(race, writers))
            winners = [entry for entry in results if entry is not None]
            assert len(winners) == 1
            assert writers[0].head("iris") == winners[0]
    history = writers[0].history("iris")
    assert [entry.key.seq for entry in history] == list(range(ROUNDS, 0, -1))


def test_appends_for_different_models_all_win(open_ledger: Open) -> None:
    writers = [open_ledger() for _ in range(4)]
    with ThreadPoolExecutor(len(writers)) as pool:

        def fill(index: int) -> None:
            head = None
            for number in range(10):
                wanted = draft(f"model-{index}", version=number)
                head = writers[index].append(wanted, expected=head, at_ms=number)

        list(pool.map(fill, range(len(writers))))
    revisions = sorted(e.revision for i in range(4) for e in writers[0].history(f"model-{i}"))
    assert revisions == list(range(1, 41))


def test_a_reader_that_asks_for_what_is_newer_misses_nothing(open_ledger: Open) -> None:
    writers, reader = [open_ledger(), open_ledger()], open_ledger()
    seen: list[Entry] = []
    with ThreadPoolExecutor(len(writers)) as pool:

        def fill(index: int) -> None:
            for number in range(30):
                name = f"model-{index}-{number}"
                writers[index].append(draft(name), expected=None, at_ms=number)

        jobs = [pool.submit(fill, index) for index in range(len(writers))]
        while len(seen) < 60 and not all(job.done() and job.exception() for job in jobs):
            seen += reader.heads(since=seen[-1].position if seen else BEGINNING)
    assert [entry.revision for entry in seen] == list(range(1, 61))


def test_every_entry_carries_the_hash_of_the_one_before(ledger: SqlLedger) -> None:
    head = None
    for number in range(5):
        head = ledger.append(draft(version=number), expected=head, at_ms=number)
    history = ledger.history("iris")
    for entry, before in itertools.pairwise(history):
        assert entry.previous_hash == before.hash
    assert history[-1].previous_hash == ""


def test_a_row_changed_behind_the_ledgers_back_breaks_the_chain(
    ledger: SqlLedger, url: str
) -> None:
    first = ledger.append(draft(version=1), expected=None, at_ms=1)
    second = ledger.append(draft(version=2), expected=first, at_ms=2)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        mine = sa.update(tables.entries).where(tables.entries.c.revision == first.revision)
        connection.execute(mine.values(actor="mallory"))
    engine.dispose()
    assert ledger.history("iris")[1].hash != second.previous_hash


def test_the_hash_does_not_depend_on_what_mlflow_shows(ledger: SqlLedger) -> None:
    entry = ledger.append(draft(), expected=None, at_ms=1)
    ledger.mark_synced(entry, Snapshot({1: "Production"}, 1))
    head = ledger.head("iris")
    assert head is not None
    assert head.snapshot == Snapshot({1: "Production"}, 1)
    assert head.hash == entry.hash


def test_a_node_replaces_its_own_status_only(ledger: SqlLedger) -> None:
    ledger.write_status("one", {"models": {"iris": 1}}, at_ms=5)
    ledger.write_status("two", {"models": {}}, at_ms=6)
    ledger.write_status("one", {"models": {"iris": 2}}, at_ms=7)
    assert ledger.statuses() == {
        "one": {"models": {"iris": 2}, "at_ms": 7},
        "two": {"models": {}, "at_ms": 6},
    }


def test_a_report_is_kept_under_an_id_of_its_own(ledger: SqlLedger, url: str) -> None:
    one, other = (ledger.record_report({"passed": passed}) for passed in (True, False))
    assert one != other
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        bodies = dict(connection.execute(sa.select(tables.reports)).all())
    engine.dispose()
    assert bodies == {one: '{"passed": true}', other: '{"passed": false}'}


def test_a_route_survives_with_its_manifest(ledger: SqlLedger) -> None:
    wanted = route(7, role=Role.SERVE, weight=0.5)
    entry = ledger.append(draft(routes=(wanted,)), expected=None, at_ms=1)
    head = ledger.head("iris")
    assert head is not None
    assert head.route == entry.route == wanted
    assert head.digest == wanted.manifest.digest
