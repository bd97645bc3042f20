"""PostgreSQL ended by kill -9 while somebody promotes: what was acknowledged stays, and stays one.

Ledger and MLflow are on that server. `make nightly` does it ten times (BATON_TEST_LEDGER_KILLS).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.console import LOST_RACE, UNREACHABLE
from tests.integration.commands import MODEL
from tests.missing import ServiceMissing
from tests.postgres import Postgres
from tests.seaweed import Seaweed
from tests.stack.sites import Site

KILLS = int(os.environ.get("BATON_TEST_LEDGER_KILLS", "2"))
VERSIONS = 3
AWAY_SECONDS = 0.5
pytestmark = pytest.mark.timeout(600 + 120 * KILLS)


@dataclass(frozen=True)
class Asked:
    """A promotion that somebody asked for, and the key of the entry it was told of, or none."""

    version: int
    code: int
    key: str
    err: str


@pytest.fixture
def server() -> Iterator[Postgres]:
    """One that nobody else's test is on."""
    try:
        made = Postgres.start()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    yield made
    made.stop()


def test_what_was_acknowledged_outlives_the_database(
    server: Postgres, seaweed: Seaweed, tmp_path: Path, say: Callable[[str], None]
) -> None:
    site = Site.on(server, seaweed, tmp_path / "var")
    site.fill(versions=VERSIONS, back=False)
    begun = time.monotonic()
    asked = [_promoted(site, 1, lambda: None)]
    took = time.monotonic() - begun
    moments = random.Random(6)  # noqa: S311 - only to spread them

    def kill() -> None:
        time.sleep(moments.uniform(0.3, 1.0) * took)
        server.kill()
        time.sleep(AWAY_SECONDS)
        server.restart()

    for number in range(KILLS):
        asked.append(_promoted(site, 2 + number % (VERSIONS - 1), kill))
        assert asked[-1].code in {0, UNREACHABLE, LOST_RACE}, asked[-1].err
        assert (done := site.call("verify")).code == 0, done.err
    asked.append(_promoted(site, 1, lambda: None))
    assert lost(asked, _entries(site)) == []
    in_production = [version for version, stage in site.stages().items() if stage == "Production"]
    assert in_production == [site.alias()] == [1]
    acknowledged = sum(one.code == 0 for one in asked[1:-1])
    say(
        f"ledger: PostgreSQL killed {KILLS} times during promotions, {acknowledged} of them "
        "acknowledged, none lost, one version in Production"
    )


def lost(asked: list[Asked], entries: list[tuple[str, int]]) -> list[str]:
    """Acknowledged entries that are not there, and keys that are there twice or out of order."""
    missing = [
        f"{one.key}: v{one.version} was acknowledged"
        for one in asked
        if one.code == 0 and one.key and (one.key, one.version) not in entries
    ]
    numbers = [int(key.rpartition(".")[2]) for key, _ in entries]
    return missing + ([] if numbers == [*range(1, len(numbers) + 1)] else [f"order: {numbers}"])


def test_an_entry_that_was_lost_and_one_that_is_double_are_found() -> None:
    asked = [Asked(1, 0, "1.1", ""), Asked(2, 0, "1.2", ""), Asked(3, UNREACHABLE, "", "")]
    assert lost(asked, [("1.1", 1), ("1.2", 2), ("1.3", 3)]) == []
    assert lost(asked, [("1.1", 1), ("1.2", 3)]) == ["1.2: v2 was acknowledged"]
    assert lost(asked, [("1.1", 1), ("1.2", 2), ("1.2", 3)]) == ["order: [1, 2, 2]"]


def _promoted(site: Site, version: int, meanwhile: Callable[[], None]) -> Asked:
    process = subprocess.Popen(
        site.command("promote", MODEL, str(version), "--json"), cwd=site.settings.home,
        env=site.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    meanwhile()
    out, err = process.communicate(timeout=180)
    entry = json.loads(out)["entry"] if process.returncode == 0 else None
    return Asked(version, process.returncode, entry["seq"] if entry else "", err)


def _entries(site: Site) -> list[tuple[str, int]]:
    """Key and version of each entry, the first one first."""
    done = site.call("history", MODEL, "--json")
    assert done.code == 0, done.err
    return [(one["seq"], one["version"]) for one in reversed(done.json["entries"])]
