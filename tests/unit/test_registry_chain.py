"""Whether the ledger is what was appended: every kind of edit is found, and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from registry import ledger_tables as tables
from registry.chain import first_break
from registry.ledger import Snapshot
from tests.fakes import World

ENTRIES, HEADS, LEDGER = tables.entries, tables.heads, tables.ledger
Edit = Callable[[World], "sa.Update | sa.Delete | sa.Insert"]


@pytest.fixture
def written(world: World) -> World:
    """Three entries of iris and, between them, one of petr4: revisions 1, 3, 4 and 2."""
    world.trained_and_served("iris")
    world.trained_and_served("petr4")
    world.trained_and_served("iris")
    world.trained_and_served("iris")
    return world


def edit(world: World, *statements: sa.Update | sa.Delete) -> None:
    """Somebody writes into the database."""
    engine = sa.create_engine(f"sqlite:///{world.root / 'ledger.db'}")
    with engine.begin() as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1
    engine.dispose()


def broken(world: World, model: str | None = None) -> str:
    """The first break as `verify` says it; empty if there is none."""
    return str(first_break(world.ledger.chains(), model) or "")


def test_a_ledger_that_nobody_edited_is_whole(written: World) -> None:
    assert broken(written) == broken(written, "iris") == broken(written, "petr4") == ""
    head = written.ledger.head("iris")
    assert head is not None
    written.ledger.mark_synced(head, Snapshot({}, None))
    assert broken(written) == "", "what MLflow shows is no part of it"


def test_an_empty_ledger_is_whole(world: World) -> None:
    assert broken(world) == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "mallory"),
        ("reason", "as ever"),
        ("kind", "rollback"),
        ("door", "mlflow"),
        ("at_ms", 1),
        ("seq", 7),
        ("epoch", 2),
        ("routes", "[]"),
        ("report", None),
        ("hash", "0" * 64),
        ("previous_hash", "0" * 64),
    ],
)
@pytest.mark.parametrize("revision", [1, 3, 4])
def test_an_edited_entry_is_named(
    written: World, column: str, value: object, revision: int
) -> None:
    edit(written, sa.update(ENTRIES).where(ENTRIES.c.revision == revision).values({column: value}))
    assert f"(revision {revision}): was changed" in broken(written)
    assert f"(revision {revision})" in broken(written, "iris")
    assert broken(written, "petr4") == ""


@pytest.mark.parametrize(
    ("column", "value"), [("routes", "{"), ("kind", "abdicate"), ("routes", '[{"version": 1}]')]
)
def test_an_entry_that_cannot_be_read_is_named(written: World, column: str, value: str) -> None:
    edit(written, sa.update(ENTRIES).where(ENTRIES.c.revision == 3).values({column: value}))
    assert broken(written).startswith("iris 1.2 (revision 3): cannot be read")


def test_an_entry_rewritten_with_its_hash_is_found_by_the_one_after_it(written: World) -> None:
    chains = written.ledger.chains()
    entry = chains.of("iris")[1].entry
    assert entry is not None
    forged = type(entry)(**{**vars(entry), "actor": "mallory"})
    where = ENTRIES.c.revision == entry.revision
    edit(written, sa.update(ENTRIES).where(where).values(actor="mallory", hash=forged.hash))
    assert broken(written) == "iris 1.3 (revision 4): does not follow the entry before it"


@pytest.mark.parametrize("revision", [1, 3, 4])
def test_a_removed_entry_is_found(written: World, revision: int) -> None:
    edit(written, sa.delete(ENTRIES).where(ENTRIES.c.revision == revision))
    assert broken(written).startswith(f"the ledger (revision {revision}): an entry was removed")
    assert broken(written, "iris") != ""


def test_a_removed_end_is_found_even_if_the_head_goes_back(written: World) -> None:
    edit(
        written,
        sa.delete(ENTRIES).where(ENTRIES.c.revision == 4),
        sa.update(HEADS).where(HEADS.c.model == "iris").values(revision=3),
    )
    assert "revision 4): an entry was removed" in broken(written)


def test_a_head_that_was_moved_back_is_found(written: World) -> None:
    edit(written, sa.update(HEADS).where(HEADS.c.model == "iris").values(revision=1))
    assert "its head is revision 1, its last entry 4" in broken(written)


def test_a_removed_model_is_found(written: World) -> None:
    edit(
        written,
        sa.delete(ENTRIES).where(ENTRIES.c.revision == 2),
        sa.delete(HEADS).where(HEADS.c.model == "petr4"),
    )
    assert "revision 2): an entry was removed" in broken(written)


def test_an_entry_that_was_put_in_is_found(written: World) -> None:
    edit(written, sa.update(LEDGER).values(revision=3))
    assert "revision 4): an entry was put in" in broken(written)
