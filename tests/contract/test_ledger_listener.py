"""Hearing of an append on a real PostgreSQL server, also after that server was killed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry.ledger import Entry
from registry.listener import Listener
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.fakes import draft
from tests.missing import ServiceMissing
from tests.postgres import Postgres

SOON_SECONDS = 10.0


class Ear:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.times = 0
        self._changed = threading.Condition()

    def heard(self) -> None:
        with self._changed:
            self.times += 1
            self._changed.notify_all()

    def hears(self, times: int) -> bool:
        """Whether it heard so many within a while."""
        with self._changed:
            return self._changed.wait_for(lambda: self.times >= times, timeout=SOON_SECONDS)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of the test's own, to be killed."""
    try:
        made = Postgres.start()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    yield made
    made.stop()


def opened(address: str) -> SqlLedger:
    return SqlLedger(Settings(ledger_url=address).resolved().ledger_url)


def listening(ledger_url: str, ear: Ear) -> Listener:
    url = Settings(ledger_url=ledger_url).resolved().ledger_url
    listener = Listener(url, ear.heard, pause_seconds=0.1)
    listener.start()
    assert ear.hears(1), "once it listens, it has something looked at"
    return listener


def test_an_append_is_heard_by_everybody_who_listens(postgres_url: str) -> None:
    ledger, ears = opened(postgres_url), [Ear(), Ear()]
    listeners = [listening(postgres_url, ear) for ear in ears]
    begun = time.monotonic()
    entry = ledger.append(draft(), expected=None, at_ms=1)
    assert all(ear.hears(2) for ear in ears)
    sys.stdout.write(f"heard after {(time.monotonic() - begun) * 1000:.1f} ms\n")
    for listener in listeners:
        listener.close()
    ledger.append(draft(version=2), expected=entry, at_ms=2)
    time.sleep(0.2)
    assert [ear.times for ear in ears] == [2, 2], "nothing after close"
    ledger.close()


def test_an_append_that_lost_is_not_heard(postgres_url: str) -> None:
    ledger, ear = opened(postgres_url), Ear()
    entry = ledger.append(draft(), expected=None, at_ms=1)
    listener = listening(postgres_url, ear)
    with pytest.raises(Exception, match="Production changed"):
        ledger.append(draft(version=2), expected=None, at_ms=2)
    ledger.append(draft(version=2), expected=entry, at_ms=2)
    assert ear.hears(2)
    time.sleep(0.2)
    assert ear.times == 2
    listener.close()
    ledger.close()


def test_what_was_appended_while_the_connection_was_cut_is_looked_at(postgres_url: str) -> None:
    ledger, ear = opened(postgres_url), Ear()
    listener = listening(postgres_url, ear)
    engine = sa.create_engine(Settings(ledger_url=postgres_url).resolved().ledger_url)
    with engine.begin() as connection:
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'baton-listener' AND datname = current_database()"
        )
        assert len(connection.execute(sa.text(cut)).all()) == 1
    engine.dispose()
    assert ear.hears(2), "connected again, it has the ledger looked at"
    ledger.append(draft(), expected=None, at_ms=1)
    assert ear.hears(3)
    listener.close()
    ledger.close()


def test_a_killed_server_is_listened_to_again_once_it_is_back(server: Postgres) -> None:
    address, ear = server.new_database(), Ear()
    ledger = opened(address)
    listener = listening(address, ear)
    first = ledger.append(draft(), expected=None, at_ms=1)
    assert ear.hears(2)
    server.kill()
    time.sleep(0.5)
    assert ear.times == 2
    server.restart()
    assert ear.hears(3)

    def follows() -> Entry:
        return ledger.append(draft(version=2), expected=first, at_ms=2)

    follows()
    assert ear.hears(4)
    listener.close()
    ledger.close()


def test_a_listener_whose_server_never_answers_ends_when_it_is_closed() -> None:
    ear = Ear()
    listener = Listener("postgresql+psycopg2://baton@127.0.0.1:1/ledger", ear.heard)
    listener.start()
    time.sleep(0.2)
    begun = time.monotonic()
    listener.close()
    assert time.monotonic() - begun < 2
    assert ear.times == 0


def test_a_ledger_in_a_file_has_no_listener(tmp_path: Path) -> None:
    before = threading.active_count()
    ear = Ear()
    listener = Listener(f"sqlite:///{tmp_path / 'ledger.db'}", ear.heard)
    listener.start()
    assert threading.active_count() == before
    listener.close()
    assert ear.times == 0
