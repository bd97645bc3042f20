"""Every metric, and the page Prometheus scrapes. The only file that knows prometheus_client.

Several processes of a node (workers, watcher) add to the same page: each writes files of its own
into one directory, which the supervisor names before this module is imported.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# No version: a thousand swaps would leave a thousand series, in memory and in every scrape.
_MODEL = ("model",)

REQUESTS = Counter(
    "baton_requests_total", "Prediction requests answered, by HTTP status.", (*_MODEL, "status")
)
REQUEST_SECONDS = Histogram(
    "baton_request_seconds", "Time to answer a prediction request.", _MODEL, buckets=_SECONDS
)
PREDICTIONS = Counter("baton_predictions_total", "Predictions made (rows or steps).", _MODEL)
SWAPS = Counter("baton_swaps_total", "Changes of what serves, by result.", ("model", "result"))
SERVED_SEQ = Gauge(
    "baton_served_seq",
    "Seq of the ledger entry that answers.",
    ("model",),
    multiprocess_mode="mostrecent",
)
SERVED_VERSION = Gauge(
    "baton_served_version", "Version that answers.", ("model",), multiprocess_mode="mostrecent"
)
REFUSED = Gauge(
    "baton_refused",
    "1 while this node does not serve what the ledger names.",
    ("model",),
    multiprocess_mode="mostrecent",
)
LAST_POLL = Gauge(
    "baton_last_poll_timestamp_seconds",
    "When the ledger was last read.",
    multiprocess_mode="mostrecent",
)
POLL_ERRORS = Counter("baton_poll_errors_total", "Polls that could not read the ledger.")
SHED = Counter("baton_shed_total", "Requests turned away because too many waited.")
RESIDENT_MB = Gauge(
    "baton_resident_megabytes",
    "What the loaded versions of all workers are reckoned to take.",
    multiprocess_mode="livesum",
)
FIRST_USES = Counter(
    "baton_first_use_loads_total", "Versions loaded by the request that needed them first."
)
EVICTIONS = Counter("baton_evictions_total", "Versions that left memory to keep within the budget.")
WORKERS = Gauge("baton_workers", "Workers that run.", multiprocess_mode="mostrecent")
RUNNER_RESTARTS = Counter(
    "baton_runner_restarts_total", "Runners started again because they ended.", ("model",)
)


class _Collector(MultiProcessCollector):
    """Leaves out what a process that was killed while it made its file left behind."""

    def collect(self) -> Iterable[Metric]:
        """Every file that was made whole, merged."""
        files = [str(path) for path in Path(self._path).glob("*.db") if _is_whole(path)]
        return self.merge(files, accumulate=True)  # type: ignore[no-untyped-call, no-any-return]


def _is_whole(path: Path) -> bool:
    try:
        return path.stat().st_size >= mmap.PAGESIZE
    except FileNotFoundError:  # its process ended in between
        return False


def exposition(directory: Path) -> tuple[str, bytes]:
    """Content type and text of `/metrics`: of all processes if `directory` holds their files."""
    registry = REGISTRY
    if directory.is_dir():
        registry = CollectorRegistry()
        _Collector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return CONTENT_TYPE_LATEST, generate_latest(registry)


def forget_watchers_before(directory: Path) -> None:
    """Remove the gauges of watchers that ended; called by the next one, before it sets its own.

    The most recent of several values is found by the wall clock, which may have been set back.
    """
    for path in directory.glob("gauge_mostrecent_*.db"):
        if not Path("/proc", path.stem.rpartition("_")[2]).exists():
            path.unlink(missing_ok=True)


def process_ended(pid: int, directory: Path) -> None:
    """Forget the live gauges of a process that is gone; its counts stay."""
    mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]
