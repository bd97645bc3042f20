"""`make bench-polling` at its smallest: what it measures is there, and is of this server."""

from __future__ import annotations

from pathlib import Path

from benchmarks import polling, results
from benchmarks.ledger_server import LedgerServer
from tests.missing import ServiceMissing


def median(section: str, name: str) -> float:
    """The median of a row, as the page shows it."""
    [line] = [line for line in section.splitlines() if line.startswith(f"| {name} |")]
    return float(line.split("|")[2].split()[0].replace(",", ""))


def test_the_command_measures_and_writes_its_section(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    small = ["--nodes", "3", "--models", "1", "200", "--seconds", "1", "--notices", "2"]
    try:
        assert polling.main([*small, "--page", str(page)]) == 0
    except ServiceMissing as missing:
        missing.skip_or_fail()
    section = results.read(page)["Nodes that poll one ledger"]
    assert 0 < median(section, "3 nodes, 200 models: CPU of the server a look") < 1000
    assert 0.9 <= median(section, "3 nodes, 200 models: looks") <= 6
    assert median(section, "append → the last of 3 listeners: heard in 0.8 s") == 3
    few, many = (
        median(section, f"a node's row of status, {models} models: into the server's log")
        for models in (1, 200)
    )
    assert few < many


def test_a_dear_statement_is_seen_in_the_servers_cpu() -> None:
    """Else a figure that is always small would prove nothing."""
    try:
        with LedgerServer.running(most_connections=20) as server:
            url = server.server.new_database()
            before = server.cpu_seconds()
            server.ask(url, "SELECT count(*) FROM generate_series(1, 3000000)")
            assert server.cpu_seconds() - before > 0.05
    except ServiceMissing as missing:
        missing.skip_or_fail()
