"""Two processes promote at the same moment, round after round, on MLflow's own registry in sqlite.

BATON_TEST_RACES says how many rounds; a nightly run asks for 200.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from registry.chain import first_break
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.contract.registries import OnSqlite
from tests.fakes import write_bundle

ROUNDS = int(os.environ.get("BATON_TEST_RACES", "6"))
MODEL = "iris"
# Two versions each in turn, so that no round promotes what serves.
PAIRS = ((1, 2), (3, 4))


class Racer:
    """One process, and the lines between it and the test."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.racer", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, what: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def says(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "it ended"
        said: dict[str, Any] = json.loads(line)
        return said

    def end(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture
def registry(embedded: Settings, tmp_path: Path) -> OnSqlite:
    """Four versions of a model."""
    made = OnSqlite(embedded)
    for number in (1, 2, 3, 4):
        made.register(MODEL, write_bundle(tmp_path / f"v{number}", content=f"weights {number}"))
    return made


@contextmanager
def racing(*arguments: str) -> Iterator[list[Racer]]:
    """Two processes, ready to go."""
    made = [Racer(*arguments) for _ in range(2)]
    for racer in made:
        assert racer.says() == {"ready": True}
    yield made
    for racer in made:
        racer.end()


def race(racers: list[Racer], registry: OnSqlite, ledger: SqlLedger, number: int) -> None:
    """One round, the number-th from 0, and what must be true after it."""
    pair = PAIRS[number % 2]
    for racer, version in zip(racers, pair, strict=True):
        racer.tell(version)
    assert [racer.says() for racer in racers] == [{"judging": True}] * 2
    for racer in racers:
        racer.tell("go")
    results = [racer.says() for racer in racers]
    lost = [result["lost"] for result in results if result["lost"]]
    assert len(lost) == 1, "the loser is told"
    assert "Production changed while this was being judged" in lost[0]
    assert sorted(result["seq"] for result in results) == [2 * number + 1, 2 * number + 2]
    assert all(result["shown"] for result in results)

    head = ledger.head(MODEL)
    assert head is not None
    assert head.route is not None
    second = pair[[bool(result["lost"]) for result in results].index(True)]
    assert head.route.version == second, "who lost promoted once more, so it is the last"
    shown = registry.client.snapshot(MODEL)
    assert shown.production == {second}, "one Production version"
    assert (shown.alias, shown) == (second, head.snapshot)


@pytest.mark.timeout(300 + 15 * ROUNDS)
def test_of_two_simultaneous_promotions_one_wins_and_mlflow_shows_one_version(
    registry: OnSqlite,
    ledger: SqlLedger,
    url: str,
    embedded: Settings,
    say: Callable[[str], None],
) -> None:
    with racing(url, embedded.tracking_uri, MODEL) as racers:
        begun = time.monotonic()
        for number in range(ROUNDS):
            race(racers, registry, ledger, number)
        took = time.monotonic() - begun
    where = url.partition(":")[0]
    say(
        f"{ROUNDS} rounds of two promotions at once, ledger in {where}: one Production version and "
        f"one loser told each time, {took:.0f} s"
    )
    assert first_break(ledger.chains()) is None
    assert len(ledger.history(MODEL)) == 2 * ROUNDS


def test_a_ledger_that_tells_no_loser_is_caught(
    registry: OnSqlite, embedded: Settings, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'careless.db'}"
    ledger = SqlLedger(url)
    told = pytest.raises(AssertionError, match="the loser is told")
    with racing(url, embedded.tracking_uri, MODEL, "careless") as racers, told:
        race(racers, registry, ledger, 0)
    ledger.close()
