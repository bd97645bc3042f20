"""Two registrars as processes on one ledger: the second one waits, and follows a dead one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.lease import LEASE
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.integration.commands import MODEL, Registered, Shell
from tests.mlflow_home import MlflowTemplate

PATIENCE_SECONDS = 60.0
# The goal is 5 s on a machine of its own; tests share theirs.
FOLLOWED_SECONDS = 8.0
FILE = "sqlite:///"


@dataclass
class Running:
    """One registrar, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, words: str) -> bool:
        return words in self.log.read_text()


class Pair:
    """A registry with registrars whose only common thing is the ledger."""

    def __init__(self, shell: Shell, ledger_url: str) -> None:
        self.shell = shell
        self.ledger = SqlLedger(ledger_url)
        self.file = Path(ledger_url.removeprefix(FILE)) if ledger_url.startswith(FILE) else None
        self.environ = {
            **shell.environ,
            "BATON_LEDGER_URL": ledger_url,
            "MLFLOW_TRACKING_URI": shell.settings.tracking_uri,
        }
        self.running: list[Running] = []

    def start(self, words: str) -> Running:
        """One more registrar, which has come so far as to say `words`."""
        home = self.shell.settings.home / f"registrar-{len(self.running)}"
        home.mkdir()
        log = home / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.shell.command("registrar"),
                cwd=home,
                env={**self.environ, "BATON_HOME": str(home)},
                stdout=out,
                stderr=out,
            )
        self.running.append(Running(process, log))
        assert eventually(lambda: self.running[-1].says(words)), log.read_text()
        return self.running[-1]

    def holder(self) -> str | None:
        turn = self.ledger.lease(LEASE)
        return turn.holder if turn else None

    def close(self) -> None:
        for one in self.running:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
        self.ledger.close()


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def registered(
    mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Registered:
    return Registered.make(mlflow_template, tmp_path_factory.mktemp("registered") / "var")


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, registered: Registered, tmp_path: Path) -> Iterator[Pair]:
    shell = registered.shell(tmp_path / "var")
    url = shell.settings.ledger_url
    if request.param == "postgresql":
        given = request.getfixturevalue("postgres_url")
        url = Settings(ledger_url=given).resolved().ledger_url
    made = Pair(shell, url)
    yield made
    made.close()


def stand_still(pair: Pair, process: subprocess.Popen[bytes]) -> None:
    """Stop a registrar, but not in the middle of a write to sqlite.

    There it would keep the file's lock for as long as it stands still, and nobody could follow.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        os.kill(process.pid, signal.SIGSTOP)
        if not holds_the_file(pair):
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.02)
    pytest.fail("it wrote whenever it was stopped")


def holds_the_file(pair: Pair) -> bool:
    """Whether somebody is writing to a ledger that is a file, and does not end within a while."""
    path = pair.file
    if path is None:
        return False
    with closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def followed(pair: Pair, dead: str | None) -> float:
    """How long it takes until somebody else holds the lease."""
    begun = time.monotonic()
    assert eventually(lambda: pair.holder() not in (None, dead))
    return time.monotonic() - begun


def test_a_killed_registrar_is_followed_within_seconds(pair: Pair) -> None:
    first = pair.start("this registrar holds the lease")
    second = pair.start("another registrar holds the lease")
    dead = pair.holder()
    os.kill(first.process.pid, signal.SIGKILL)
    pair.shell.mlflow.transition_model_version_stage(MODEL, "1", "Production")
    took = followed(pair, dead)
    sys.stdout.write(f"followed after {took:.2f} s\n")
    assert took < FOLLOWED_SECONDS
    assert eventually(lambda: pair.shell.alias() == 1), "the click is adopted by the second"
    assert second.says("this registrar holds the lease")


def test_a_registrar_that_stood_still_is_followed_and_writes_nothing_when_it_goes_on(
    pair: Pair,
) -> None:
    first = pair.start("this registrar holds the lease")
    pair.start("another registrar holds the lease")
    stopped = pair.holder()
    stand_still(pair, first.process)
    took = followed(pair, stopped)
    sys.stdout.write(f"followed after {took:.2f} s\n")
    assert took < FOLLOWED_SECONDS
    successor = pair.holder()
    pair.shell.mlflow.transition_model_version_stage(MODEL, "2", "Production")
    os.kill(first.process.pid, signal.SIGCONT)
    assert eventually(lambda: first.says("another registrar holds the lease"))
    assert eventually(lambda: pair.shell.alias() == 2)
    assert pair.holder() == successor
    assert [entry.key.seq for entry in pair.ledger.history(MODEL)] == [1]


def test_a_registrar_that_is_told_to_end_gives_the_lease_back_at_once(pair: Pair) -> None:
    first = pair.start("this registrar holds the lease")
    pair.start("another registrar holds the lease")
    ended = pair.holder()
    first.process.send_signal(signal.SIGTERM)
    took = followed(pair, ended)
    sys.stdout.write(f"followed after {took:.2f} s\n")
    assert took < FOLLOWED_SECONDS
    assert first.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_one_that_stands_still_in_a_write_is_noticed(pair: Pair) -> None:
    """What `stand_still` waits for, planted."""
    if pair.file is None:
        assert not holds_the_file(pair)
        return
    with closing(sqlite3.connect(pair.file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert holds_the_file(pair)
    assert not holds_the_file(pair)
