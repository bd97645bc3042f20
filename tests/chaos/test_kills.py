"""kill -9 at random moments of swaps, behind a proxy that tries again: no client notices.

The watcher, a worker, a trial, the zygote that makes trials, the database; each time the node must
be consistent again by itself, and have served throughout. `BATON_TEST_KILLS` says how many (here
few, every night 200).
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.load import Load
from benchmarks.processes import children, command, descendants
from benchmarks.versions import Versions, predict
from registry.errors import LostRace, Unreachable
from registry.ledger import Entry
from registry.sql_ledger import SqlLedger
from tests.chaos.nginx import nginx
from tests.postgres import Postgres
from tests.servingfakes.node import Node, alive

KILLS = int(os.environ.get("BATON_TEST_KILLS", "10"))
RATE = 100
LONGEST_WAIT_SECONDS = 1.2  # a swap with fetch, trial and load takes about that long
SETTLE_SECONDS = 60.0
WATCHER_BACK_SECONDS = 10.0


class Chaos:
    """One node with its ledger in PostgreSQL, and what is killed of it."""

    def __init__(self, node: Node, postgres: Postgres, versions: Versions) -> None:
        self.node, self.postgres, self.versions = node, postgres, versions
        self.random = random.Random(20261121)  # noqa: S311 - no secret
        self.fresh = itertools.count(2)
        self.killed: collections.Counter[str] = collections.Counter()
        self.back_seconds: list[float] = []

    def append(self, target: str) -> Entry:
        """A new version, or now and then one that served before; again until the database is up."""
        number = next(self.fresh)
        back = target != "trial" and number % 4 == 0
        to = self.versions.route(max(1, number - 2) if back else number)
        while True:
            with contextlib.suppress(Unreachable, LostRace):
                return self.node.promote(to)
            time.sleep(0.05)

    def kill(self, target: str) -> None:
        """At once, without a chance to tidy up."""
        {
            "watcher": self._kill_watcher,
            "worker": lambda: os.kill(self.random.choice(sorted(self.node.worker_pids())), 9),
            "trial": self._kill_trial,
            "zygote": lambda: os.kill(self._zygote(), signal.SIGKILL),
            "database": self._kill_database,
        }[target]()
        self.killed[target] += 1

    def _kill_watcher(self) -> None:
        before = self.node.pid_of("serving.node")
        os.kill(before, signal.SIGKILL)
        begun = time.monotonic()
        self.node.until(
            lambda: any(
                pid != before and "serving.node" in words
                for pid, words in self.node.processes().items()
            ),
            "another watcher",
        )
        self.back_seconds.append(time.monotonic() - begun)

    def _zygote(self) -> int:
        """The watcher's child; those that it forked for a trial have its command line too."""
        watcher = self.node.pid_of("serving.node")
        found = self.node.until(
            lambda: [pid for pid in children(watcher) if "registry.zygote" in command(pid)],
            "there is a zygote",
        )
        return int(found[0])

    def _kill_trial(self) -> None:
        """The next one, or the process that watches over it."""
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            if running := descendants(self._zygote()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(running), signal.SIGKILL)
                return
            time.sleep(0.001)

    def _kill_database(self) -> None:
        self.postgres.kill()
        time.sleep(self.random.uniform(0.0, 1.0))
        self.postgres.restart()


@pytest.fixture
def chaos(tmp_path: Path, postgres: Postgres) -> Iterator[Chaos]:
    url = postgres.new_database().replace("postgresql://", "postgresql+psycopg2://")
    node = Node(tmp_path / "var", environ={"BATON_LEDGER_URL": url})
    node.ledger = SqlLedger(url)
    made = Chaos(node, postgres, Versions(tmp_path / "versions"))
    node.promote(made.versions.route(1))
    node.start()
    node.until_serving(1)
    yield made
    node.stop()
    node.ledger.close()


@pytest.mark.timeout(60 + 30 * KILLS)
def test_whatever_is_killed_in_the_middle_of_a_swap_no_client_notices(
    chaos: Chaos, tmp_path: Path, say: Callable[[str], None]
) -> None:
    node = chaos.node
    with nginx(tmp_path / "nginx", node.port) as port:
        load = Load(port, "/models/iris/predict", RATE, tmp_path / "history.bin", workers=2)
        with load.running():
            targets = itertools.cycle(("watcher", "worker", "trial", "zygote", "database"))
            for target in itertools.islice(targets, KILLS):
                entry = chaos.append(target)
                if target != "trial":
                    time.sleep(chaos.random.uniform(0.0, LONGEST_WAIT_SECONDS))
                chaos.kill(target)
                load.until_every(entry.key.seq, seconds=SETTLE_SECONDS)
                node.until(lambda: len(node.worker_pids()) == 2, "both workers are back")
                assert node.until_well()["seq"] == entry.key.seq, target
        rows = load.rows()
    found = violations(history.observations(rows), ids=load.ids, predict=predict)
    say(
        f"{sum(chaos.killed.values())} kills ({dict(chaos.killed)}) under {load.count} requests "
        f"through nginx: {len(found)} failed or wrong; a killed watcher was started again within "
        f"{max(chaos.back_seconds, default=0):.2f} s"
    )
    assert found == []
    assert max(chaos.back_seconds, default=0) < WATCHER_BACK_SECONDS
    assert set(rows["seq"].tolist()) >= {KILLS + 1}


def test_no_process_outlives_a_server_that_was_killed_in_the_middle_of_a_swap(
    chaos: Chaos,
) -> None:
    assert chaos.node.server
    chaos.append("server")
    time.sleep(0.3)
    below = descendants(chaos.node.server.pid)
    chaos.node.server.kill()
    chaos.node.server.wait()
    deadline = time.monotonic() + SETTLE_SECONDS
    while any(map(alive, below)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in below if alive(pid)] == []
