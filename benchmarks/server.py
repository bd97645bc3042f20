"""How large a worker is that serves both models, and how soon a server is ready from its store."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.engines import Row
from benchmarks.node import Node

_STARTS = 5
_REQUESTS = 200


def measure(node: Node, *, versions: dict[str, str]) -> list[Row]:
    """Start the server several times on a filled store; `versions` is what has to be served."""
    with node.serving(log=node.home / "server.log"):
        node.ready(seconds=60)
        for model, version in versions.items():
            node.follows(model, version, seconds=60)
    ready, resident = [], []
    for _ in range(_STARTS):
        with node.serving(log=node.home / "server.log") as server:
            ready.append(node.ready(seconds=60))
            for _ in range(_REQUESTS):
                node.call("/models/iris/predict", {"instances": [[5.1, 3.5, 1.4, 0.2]]})
                node.call("/models/ProphetModel/predict", {"horizon": 30})
            resident += worker_megabytes(server)
    return [
        Row.of("server ready from the store", ready, unit="s", goal=2.0),
        Row.of("resident memory of a worker, both models", resident, unit="MB", goal=130.0),
    ]


def worker_megabytes(server: subprocess.Popen[bytes]) -> list[float]:
    """Resident memory of each gunicorn worker below the supervisor, in MB."""
    masters = [pid for pid in _children(server.pid) if "gunicorn" in _command(pid)]
    return [_resident(pid) for master in masters for pid in _children(master)]


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text("utf-8")


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return kib * 1024 / 1e6
