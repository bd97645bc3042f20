"""What `make bench-polling` measures is there, and is of its own server. Not all: it takes long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from benchmarks.ledger_costs import first_look, registrars_look, status_row
from benchmarks.ledger_server import LedgerServer
from benchmarks.results import Row
from benchmarks.watchers import polled
from tests.missing import ServiceMissing


@pytest.fixture(scope="module")
def server() -> Iterator[LedgerServer]:
    try:
        with LedgerServer.running(most_connections=20) as running:
            yield running
    except ServiceMissing as missing:
        missing.skip_or_fail()


@pytest.fixture(scope="module")
def url(server: LedgerServer) -> str:
    return server.ledger(3)


def medians(rows: Sequence[Row]) -> list[float]:
    return [row.median for row in rows]


def test_looks_are_counted_and_paid_for_by_the_server(server: LedgerServer, url: str) -> None:
    rows = polled(server, url, models=3, nodes=4, seconds=1.0)
    cpu, rate, p50, p99, memory = medians(rows)
    assert 0 < cpu < 1000
    assert 0 < rate <= 12  # four a second, and those at the edges
    assert 0 < p50 <= p99
    assert memory > 1


def test_a_row_of_status_grows_with_the_models(server: LedgerServer, url: str) -> None:
    [_, few], [_, many] = (medians(status_row(server, url, models)) for models in (1, 500))
    assert few < many


def test_looks_at_all_heads_and_at_all_rows_take_time(server: LedgerServer, url: str) -> None:
    looks = [*first_look(server, url, 3), *registrars_look(server, url, models=3, nodes=4)]
    assert all(row.most > 0 for row in looks)


def test_a_dear_statement_is_seen_in_the_servers_cpu(server: LedgerServer, url: str) -> None:
    """Else a figure that is always small would prove nothing."""
    before = server.cpu_seconds()
    server.ask(url, "SELECT count(*) FROM generate_series(1, 3000000)")
    server.settle()
    assert server.cpu_seconds() - before > 0.05
