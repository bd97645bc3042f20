"""A process that ends at any statement of an append: all of it is there, or nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest
import sqlalchemy as sa

from registry.chain import first_break
from registry.ledger import EntryKind
from registry.sql_ledger import SqlLedger
from tests.fakes import draft
from tests.fakes.crash import Crash, Doom

Open = Callable[[], SqlLedger]


def ended(ledger: SqlLedger, doom: Doom) -> None:
    """Let `doom` count this ledger's statements: before the first, and after each."""

    @sa.event.listens_for(ledger._engine, "before_cursor_execute")
    def before(*_: object) -> None:
        if not doom.points:
            doom.reach("before the first statement")

    @sa.event.listens_for(ledger._engine, "after_cursor_execute")
    def after(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        doom.reach(statement.split(maxsplit=1)[0])


@pytest.mark.parametrize("first", [True, False])
def test_an_append_ended_at_any_statement_is_there_whole_or_not_at_all(
    open_ledger: Open, first: bool
) -> None:
    reader, ends = open_ledger(), []
    for number in count(1):
        model = f"model-{number}"
        expected = None
        if not first:
            expected = reader.append(draft(model), expected=None, at_ms=1)
        writer, doom = open_ledger(), Doom(number)
        ended(writer, doom)
        wanted = draft(model, version=2, kind=EntryKind.ROLLBACK)
        with suppress(Crash):
            writer.append(wanted, expected=expected, at_ms=2)
        gc.collect()  # a dead process holds no cursor, as the crash's own frames do
        if not doom.struck:
            break
        ends.append(doom.where)
        assert reader.head(model) == expected
        assert reader.append(wanted, expected=expected, at_ms=3) == reader.head(model)
        assert first_break(reader.chains()) is None, doom.where
    assert {"UPDATE", "INSERT"} <= set(ends), "it was ended in the middle"


def test_a_lease_ended_at_any_statement_can_be_taken(open_ledger: Open) -> None:
    reader = open_ledger()
    for number in count(1):
        name = f"lease-{number}"
        writer, doom = open_ledger(), Doom(number)
        ended(writer, doom)
        with suppress(Crash):
            writer.take_lease(name, holder="one", after=writer.lease(name))
        gc.collect()
        if not doom.struck:
            break
        assert reader.lease(name) is None
        assert reader.take_lease(name, holder="other", after=None) is not None
    assert number > 2
