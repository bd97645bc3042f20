"""`make bench-polling`: what nodes cost the ledger's database; writes a section of `RESULTS.md`.

    python -m benchmarks.polling                               everything, about ten minutes
    python -m benchmarks.polling --nodes 10 100 --models 1000 --seconds 5

A real PostgreSQL, a real ledger in it, and the watcher's own look at it from as many connections
as there would be nodes. What counts is the server's CPU, by the scheduler's own account: it hardly
depends on what else the machine does; latencies do.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import results
from benchmarks.ledger_costs import first_look, registrars_look, status_row
from benchmarks.ledger_server import LedgerServer
from benchmarks.results import Row, Section
from benchmarks.watchers import heard, polled, unpaused

_TITLE = "Nodes that poll one ledger"
_UNPAUSED = 16
_QUIET_SECONDS = 2.0
_PACKAGES = ("sqlalchemy", "psycopg2-binary")
_NOTES = (
    """a look is `LedgerHeads.news` over a connection of its own, once a second each: what a watcher
    does when nothing changed; the connection is checked before it, as there""",
    """CPU of all of PostgreSQL's processes, in user and in kernel mode, by /proc's schedstat; idle,
    without a connection, they use {idle:.2g} ms a second""",
    """latencies, and looks a second without pause, are of a machine whose processors the clients
    share with the server, and with whatever else ran; the server's CPU is hardly""",
    """a row of status is written every 5 s by each node, whole; bytes are of the server's log
    (WAL), for a row that says the same as before; the registrar reads all rows every second""",
    """fsync is off, as in the tests: a status row costs no wait for a disk here""",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the section, show it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.polling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--nodes", type=int, nargs="+", default=[10, 100, 1000], help="at once (%(default)s)")
    add("--models", type=int, nargs="+", default=[1, 100, 1000], help="in a ledger (%(default)s)")
    add("--seconds", type=float, default=10.0, help="of each of three rounds (%(default)s)")
    add("--notices", type=int, default=20, help="that listeners hear of (%(default)s)")
    add("--page", type=Path, default=results.PAGE, help="where the section goes")
    given = parser.parse_args(arguments)
    console = Console()
    rows: list[Row] = []

    made_by = shlex.join(["python", "-m", "benchmarks.polling", *sys.argv[1:]])
    some, most = given.nodes[len(given.nodes) // 2], given.models[-1]
    with LedgerServer.running(most_connections=max(*given.nodes, _UNPAUSED) + 50) as server:
        notes = [" ".join(note.format(idle=_idle(server) * 1000).split()) for note in _NOTES]

        def told(more: Sequence[Row]) -> None:
            for row in more:
                console.print("  ".join(row.cells()), highlight=False)
            rows.extend(more)
            section = Section(_TITLE, made_by, rows, notes, packages=_PACKAGES)
            results.write(section, page=given.page)

        ledgers = {models: server.ledger(models) for models in given.models}
        for models, url in ledgers.items():
            told(polled(server, url, models=models, nodes=some, seconds=given.seconds))
            told(first_look(server, url, models))
            told(status_row(server, url, models))
            told(registrars_look(server, server.ledger(1), models=models, nodes=some))
        url = ledgers[most]
        told(unpaused(server, url, models=most, connections=_UNPAUSED, seconds=given.seconds))
        for nodes in given.nodes:
            told(heard(server, url, nodes, notices=given.notices))
        for nodes in sorted({*given.nodes} - {some}):
            told(polled(server, url, models=most, nodes=nodes, seconds=given.seconds))
            told(registrars_look(server, server.ledger(1), models=most, nodes=nodes))
    return 0


def _idle(server: LedgerServer) -> float:
    """CPU seconds a second that the server takes for itself."""
    before = server.cpu_seconds()
    time.sleep(_QUIET_SECONDS)
    return (server.cpu_seconds() - before) / _QUIET_SECONDS


if __name__ == "__main__":
    raise SystemExit(main())
