"""Many nodes' looks at one ledger, in one process: `python -m benchmarks.pollers`, as a child.

Each node is a thread with a `SqlLedger` of its own, as a watcher has one, and does the watcher's
own look (`LedgerHeads`). Says `ready` once all are connected, starts at a line on its input, and
prints one JSON object at the end. The ledger's address comes in BATON_LEDGER_URL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from registry.listener import Listener
from registry.sql_ledger import SqlLedger
from serving.node.heads import LedgerHeads

_OPENING_AT_ONCE = 8


@dataclass
class Poller:
    """One node's watcher, as far as the ledger sees it.

    `took` has when each look began and for how long, in seconds of the machine's monotonic clock.
    """

    ledger: SqlLedger
    every: float
    took: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The first look reads every head: what a node does once, at its start."""
        self.heads = LedgerHeads(lambda: self.ledger)
        self.heads.news()

    def poll(self, first: float, until: float) -> None:
        """Look every so often from `first` on; without pause where `every` is 0.

        One that comes late does not catch up: a watcher's pause begins after its look, too.
        """
        due = first
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            self.heads.news()
            ended = time.monotonic()
            self.took.append((begun, ended - begun))
            due = max(due + self.every, ended)


def poll(url: str, nodes: int, *, seconds: float, every: float) -> dict[str, object]:
    """So many nodes for so long; their first looks are spread over one pause."""
    with ThreadPoolExecutor(_OPENING_AT_ONCE) as opening:
        pollers = list(opening.map(lambda _: Poller(SqlLedger(url), every), range(nodes)))
    begun = _told_to_start()
    until = begun + seconds
    _all_at_once(
        [
            partial(one.poll, begun + every * number / nodes, until)
            for number, one in enumerate(pollers)
        ]
    )
    for one in pollers:
        one.ledger.close()
    return {"took": [span for one in pollers for span in one.took]}


def listen(url: str, nodes: int, *, seconds: float) -> dict[str, object]:
    """So many listeners for so long; says when each heard, by the machine's monotonic clock."""
    heard: list[float] = []
    listeners = [Listener(url, lambda: heard.append(time.monotonic())) for _ in range(nodes)]
    for one in listeners:
        one.start()
    while len(heard) < nodes:  # each calls once when it has connected
        time.sleep(0.05)
    heard.clear()
    begun = _told_to_start()
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    told = list(heard)
    for one in listeners:
        one.close()
    return {"heard": told}


def _told_to_start() -> float:
    """When the parent said so, after it heard that all is connected."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    return time.monotonic()


def _all_at_once(jobs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pollers", description=__doc__)
    parser.add_argument("what", choices=("poll", "listen"))
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--every", type=float, default=1.0)
    given = parser.parse_args()
    url = os.environ["BATON_LEDGER_URL"]
    if given.what == "listen":
        said = listen(url, given.nodes, seconds=given.seconds)
    else:
        said = poll(url, given.nodes, seconds=given.seconds, every=given.every)
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
