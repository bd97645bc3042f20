"""`make bench-front`: requests a second of this server and of what people would write instead.

    python -m benchmarks.front --rounds 5 --seconds 5

All servers serve one model, a random forest trained for this run, with two workers each, one after
the other in each round; a ratio is within a round, the result is the median of the rounds. The load
is wrk, in closed loop, on the same machine: its share of the processors is the same for all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import results
from benchmarks.node import ROOT, CommandFailed, Node, free_port
from benchmarks.processes import cpu_seconds, descendants
from benchmarks.results import Row, Section
from registry import bootstrap
from registry.process import die_with_parent
from registry.settings import Settings

PEERS = Path(__file__).with_name("peers")
PYTHON = ROOT / "var" / "environments" / "peers" / "bin" / "python"
BODY = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
_STARTS_SECONDS = 120.0
_WARM_SECONDS = 2
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
"""


@dataclass(frozen=True)
class Server:
    """One that runs: where it is asked, and the process whose tree serves."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw; `cpu_ms` of the server's processes, a request."""

    per_second: float
    p99_ms: float
    cpu_ms: float
    shares: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if an answer was wrong or none came."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--page", type=Path, default=results.PAGE)
    given = parser.parse_args(arguments)
    console = Console()
    if not shutil.which("wrk"):
        console.print("wrk is needed: apt-get install wrk")
        return 2
    with tempfile.TemporaryDirectory(prefix="baton-front-") as scratch, ExitStack() as running:
        home = Path(scratch)
        script = home / "post.lua"
        script.write_text(_LUA.format(body=json.dumps(BODY)), encoding="utf-8")
        servers = [running.enter_context(one) for one in _servers(home)]
        measured: dict[tuple[str, int], list[Load]] = {}
        for number in range(given.rounds):
            for connections in (16, 1):
                for server in servers:
                    _load(server, script, connections, _WARM_SECONDS)
                    load = _load(server, script, connections, given.seconds)
                    measured.setdefault((server.name, connections), []).append(load)
                    console.print(
                        f"round {number + 1}: {server.name}, {connections} connections: "
                        f"{load.per_second:,.0f}/s, p99 {load.p99_ms:.2f} ms, "
                        f"{load.cpu_ms:.3f} ms CPU a request"
                    )
    section = _section(measured, " ".join(["python -m benchmarks.front", *(arguments or ())]))
    results.write(section, page=given.page)
    console.print(results.table(section))
    return 0


def _servers(home: Path) -> Iterator[contextlib.AbstractContextManager[Server]]:
    node = Node(home / "lane")
    trained = node.run("training", "run", "iris")
    node.run("registry", "promote", "iris")
    client = bootstrap.ports(Settings.read(node.environ)).client
    files = home / "files"
    files.mkdir()
    client.download(client.version("iris", trained["version"]), files)
    [model] = files.rglob("*.onnx")
    yield _baton(node, "baton")
    gthread = Node(home / "gthread", environ={"BATON_LANE": "off", "BATON_BUNDLE": str(files)})
    yield _baton(gthread, "baton, BATON_LANE=off")
    environ = {"MODEL": str(model), "PYTHONPATH": str(PEERS)}
    port = free_port()
    uvicorn = ["uvicorn", "fastapi_onnx:app", "--workers", "2", "--log-level", "warning"]
    yield _peer("FastAPI + uvicorn + onnxruntime", [*uvicorn, "--port", str(port)], port, environ)
    port = free_port()
    gunicorn = ["gunicorn", "bare_wsgi:app", "--workers", "2", "--threads", "4"]
    bind = ["--bind", f"127.0.0.1:{port}", "--keep-alive", "75"]
    yield _peer("bare gunicorn + onnxruntime", [*gunicorn, *bind], port, environ)


@contextmanager
def _baton(node: Node, name: str) -> Iterator[Server]:
    with node.serving(log=node.home / "server.log") as server:
        node.ready(seconds=60)
        url = f"http://127.0.0.1:{node.port}/predict"
        _until_right(url)
        yield Server(name, url, server.pid)


@contextmanager
def _peer(
    name: str, command: Sequence[str], port: int, environ: Mapping[str, str]
) -> Iterator[Server]:
    process = subprocess.Popen(
        [PYTHON, "-m", *command],
        env={**os.environ, **environ},
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
    )
    try:
        url = f"http://127.0.0.1:{port}/predict"
        _until_right(url)
        yield Server(name, url, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _until_right(url: str) -> None:
    """Wait for the first answer, which has to be the right one."""
    deadline = time.monotonic() + _STARTS_SECONDS
    request = urllib.request.Request(  # noqa: S310 - ours
        url, json.dumps(BODY).encode(), {"Content-Type": "application/json"}
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - ours
                answer = json.load(reply)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise CommandFailed(f"{url} does not answer") from None
            time.sleep(0.2)
    if answer["predictions"] != [0]:
        raise CommandFailed(f"{url}: expected class 0, got {answer}")


def _load(server: Server, script: Path, connections: int, seconds: int) -> Load:
    pids = [server.pid, *descendants(server.pid)]
    before = {pid: cpu_seconds(pid) for pid in pids}
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script, server.url],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    spent = sorted((cpu_seconds(pid) - before[pid] for pid in pids), reverse=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise CommandFailed(f"{server.name}: {done.stdout}")
    per_second = float(_found(r"Requests/sec:\s+([\d.]+)", done.stdout))
    count = int(_found(r"(\d+) requests in", done.stdout))
    shares = tuple(one / sum(spent) for one in spent[:2])
    return Load(per_second, _milliseconds(done.stdout), sum(spent) / count * 1000, shares)


def _milliseconds(said: str) -> float:
    value, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", said)[0]
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise CommandFailed(f"wrk did not say {pattern}: {text}")
    return found[1]


def _section(measured: Mapping[tuple[str, int], Sequence[Load]], made_by: str) -> Section:
    rows = []
    for (name, connections), loads in measured.items():
        rates = [load.per_second for load in loads]
        at = f"{connections} connections" if connections > 1 else "1 connection"
        rows.append(Row.of(f"{name}, {at}", rates, unit="/s", goal=None))
    peer, bare = "FastAPI + uvicorn + onnxruntime", "bare gunicorn + onnxruntime"
    for connections, goal in ((16, 1.2), (1, 1.0)):
        ratios = [
            ours.per_second / theirs.per_second
            for ours, theirs in zip(
                measured["baton", connections], measured[peer, connections], strict=True
            )
        ]
        name = f"baton ÷ {peer}, {connections}"
        rows.append(Row.of(name, ratios, unit="", goal=goal, at_least=True))
    cpu = [
        ours.cpu_ms / theirs.cpu_ms
        for ours, theirs in zip(measured["baton", 16], measured[bare, 16], strict=True)
    ]
    rows.append(Row.of(f"CPU a request ÷ {bare}", cpu, unit="", goal=1.5))
    notes = [
        f"{name}, {connections}: p99 {max(load.p99_ms for load in loads):.2f} ms at most, "
        f"{loads[0].cpu_ms:.3f} ms CPU a request, shares of the two busiest processes "
        f"{', '.join('/'.join(f'{share:.2f}' for share in load.shares) for load in loads)}"
        for (name, connections), loads in measured.items()
    ]
    return Section("Front door: one row of iris", made_by, rows, notes)


if __name__ == "__main__":
    sys.exit(main())
