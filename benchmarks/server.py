"""How large a worker is that serves both models, and how soon a server is ready from its store."""

from __future__ import annotations

from benchmarks.node import Node
from benchmarks.processes import resident_mb, worker_pids
from benchmarks.results import Row

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
            resident += [resident_mb(pid) for pid in worker_pids(server.pid)]
    return [
        Row.of("server ready from the store", ready, unit="s", goal=2.0),
        Row.of("resident memory of a worker, both models", resident, unit="MB", goal=130.0),
    ]
