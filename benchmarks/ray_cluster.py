"""A Ray cluster of several nodes on this machine: a raylet with one processor each.

It is started from the environment of `make setup GROUP=ray`, as on real machines, and ended by the
process ids that it was seen to have.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.node import ROOT, CommandFailed, free_port
from benchmarks.processes import descendants

BIN = ROOT / "var" / "environments" / "ray" / "bin"
_START_SECONDS = 120
_MEMORY = 150_000_000  # bytes of each node's object store; what travels is small


@contextmanager
def cluster(nodes: int = 2) -> Iterator[str]:
    """The address of a cluster of so many nodes; raises CommandFailed if it does not start."""
    if not (BIN / "ray").exists():
        raise CommandFailed("no environment with Ray: make setup GROUP=ray")
    address = f"127.0.0.1:{free_port()}"
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        try:
            for number in range(nodes):
                port = address.rpartition(":")[2]
                head = ["--head", f"--port={port}", f"--temp-dir={scratch}"]
                where = [f"--address={address}"] if number else [*head, "--include-dashboard=false"]
                log = Path(scratch, f"node-{number}.log")
                started.append(_start(where, log))
                _wait(address, number + 1, started[-1], log)
            yield address
        finally:
            for process in reversed(started):
                _end(process)


def _start(where: list[str], log: Path) -> subprocess.Popen[bytes]:
    """One node, in the foreground."""
    common = ["--num-cpus=1", "--node-ip-address=127.0.0.1", f"--object-store-memory={_MEMORY}"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [str(BIN / "ray"), "start", *where, *common, "--block"],
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _wait(address: str, nodes: int, newest: subprocess.Popen[bytes], log: Path) -> None:
    """Until so many nodes say that they are alive; raises CommandFailed if the newest ends."""
    look = (
        f"import ray; ray.init('{address}', log_to_driver=False, logging_level='error');"
        "print(sum(n['Alive'] for n in ray.nodes()))"
    )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and newest.poll() is None:
        done = subprocess.run(
            [str(BIN / "python"), "-c", look], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and int(done.stdout.split()[-1]) >= nodes:
            return
        time.sleep(0.5)
    said = log.read_text(errors="replace")[-1000:]
    raise CommandFailed(f"Ray did not start {nodes} nodes in {_START_SECONDS} s: {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a node and everything below it."""
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    for pid in (process.pid, *below):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
