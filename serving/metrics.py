"""Every metric, and the page Prometheus scrapes. The only file that knows prometheus_client.

Several processes of a node (workers, watcher) add to the same page: each writes files of its own
into one directory, which the supervisor names before this module is imported.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterable, Sequence
from functools import cache
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

from registry.errors import BatonError

_log = logging.getLogger(__name__)
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# No version: a thousand swaps would leave a thousand series, in memory and in every scrape.
_MODEL = ("model",)

_REQUESTS = Counter(
    "baton_requests_total", "Prediction requests answered, by HTTP status.", (*_MODEL, "status")
)
_REQUEST_SECONDS = Histogram(
    "baton_request_seconds", "Time to answer a prediction request.", _MODEL, buckets=_SECONDS
)
_ENGINE_SECONDS = Histogram(
    "baton_engine_seconds", "Time a model itself took for a request.", _MODEL, buckets=_SECONDS
)
_PREDICTIONS = Counter("baton_predictions_total", "Predictions made (rows or steps).", _MODEL)
_ERRORS = Counter("baton_errors_total", "Requests refused, by what was wrong.", (*_MODEL, "error"))
_JOINT_ROWS = Histogram(
    "baton_joint_rows",
    "Rows of one call of a version that declares joint calls.",
    _MODEL,
    buckets=_ROWS,
)
_ARM_REQUESTS = Counter(
    "baton_arm_requests_total",
    "Prediction requests answered while a split is on, by arm and HTTP status.",
    (*_MODEL, "arm", "status"),
)
SHADOW = Counter(
    "baton_shadow_total",
    "Copies of requests for the version of a shadow, by what became of them.",
    (*_MODEL, "result"),
)
_CREW = ("crew",)
IN_FLIGHT = Gauge(
    "baton_in_flight",
    "Requests that threads are answering, by what those threads do.",
    _CREW,
    multiprocess_mode="livesum",
)
QUEUED = Gauge(
    "baton_queued",
    "Requests that wait for a thread, by what those threads do.",
    _CREW,
    multiprocess_mode="livesum",
)
WORKER_VERSION = Gauge(
    "baton_worker_version",
    "Version that answers in this worker.",
    (*_MODEL, "worker"),
    multiprocess_mode="livemostrecent",
)
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
SERVED_SINCE = Gauge(
    "baton_served_since_timestamp_seconds",
    "When the ledger entry that answers was appended.",
    ("model",),
    multiprocess_mode="mostrecent",
)
LEDGER_SEQ = Gauge(
    "baton_ledger_seq",
    "Seq of the ledger entry that should answer, as last read.",
    ("model",),
    multiprocess_mode="mostrecent",
)
ROLLED_BACK = Gauge(
    "baton_rolled_back",
    "1 while what should answer is what the registrar went back to by itself.",
    ("model",),
    multiprocess_mode="mostrecent",
)
DEGRADED = Gauge(
    "baton_degraded",
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
RESIDENT_BYTES = Gauge(
    "baton_resident_bytes",
    "What the loaded versions of all workers are reckoned to take.",
    multiprocess_mode="livesum",
)
FIRST_USES = Counter(
    "baton_first_use_loads_total", "Versions loaded by the request that needed them first."
)
EVICTIONS = Counter("baton_evictions_total", "Versions that left memory to keep within the budget.")
JOBS = Gauge(
    "baton_jobs",
    "Jobs in the queue, by state, as this node last saw it.",
    ("state",),
    multiprocess_mode="mostrecent",
)
DISK_FREE = Gauge(
    "baton_disk_free_bytes",
    "Room left where this node keeps its versions.",
    multiprocess_mode="mostrecent",
)
OLDEST_KEY = Gauge(
    "baton_oldest_key_created_timestamp_seconds",
    "When the oldest API key that was not revoked was made.",
    multiprocess_mode="mostrecent",
)
FEEDBACK = Counter(
    "baton_feedback_total", "Pieces of feedback, by what became of them.", ("class",)
)
LATE_FEEDBACK = Counter(
    "baton_feedback_late_total", "Pieces of feedback kept that came 30 days or more after."
)
WORKERS = Gauge("baton_workers", "Workers that run.", multiprocess_mode="mostrecent")
RUNNER_RESTARTS = Counter(
    "baton_runner_restarts_total", "Runners started again because they ended.", ("model",)
)


LOG_DROPPED = Counter(
    "baton_log_dropped_total",
    "Predictions and refusals that were not written down for want of room.",
)
LOG_SHIPPED = Counter("baton_log_shipped_total", "Records that were moved to the prediction log.")
LOG_CORRUPT = Counter(
    "baton_log_corrupt_total", "Places of the spool that could not be read, and were kept aside."
)
LOG_SPOOL_BYTES = Gauge(
    "baton_log_spool_bytes", "Bytes in the spool of this node.", multiprocess_mode="mostrecent"
)
LOG_SHIPPED_UNTIL = Gauge(
    "baton_log_shipped_until_timestamp_seconds",
    "All that was predicted here before is in the prediction log.",
    multiprocess_mode="mostrecent",
)
LOG_SINK_UP = Gauge(
    "baton_log_sink_up",
    "0 while the prediction log cannot be reached.",
    multiprocess_mode="mostrecent",
)


class Tally:
    """What is counted of one model's requests; finding a series costs as much as counting."""

    def __init__(self, model: str) -> None:
        """Use `tally`."""
        self._model = model
        self._by_status: dict[int, Counter] = {}
        self._seconds = _REQUEST_SECONDS.labels(model)
        self._engine = _ENGINE_SECONDS.labels(model)
        self._predictions = _PREDICTIONS.labels(model)

    def answered(self, status: int, seconds: float) -> None:
        """One more request, and how long it took."""
        requests = self._by_status.get(status)
        if requests is None:
            requests = self._by_status[status] = _REQUESTS.labels(self._model, str(status))
        requests.inc()
        self._seconds.observe(seconds)

    def answered_by(self, arm: str, status: int) -> None:
        """One more request that an arm of a split answered."""
        _ARM_REQUESTS.labels(self._model, arm, str(status)).inc()

    def predicted(self, rows: int, engine_seconds: float) -> None:
        """What the model did for it."""
        self._predictions.inc(rows)
        self._engine.observe(engine_seconds)

    def joined(self, rows: int) -> None:
        """One call for all that waited."""
        _JOINT_ROWS.labels(self._model).observe(rows)

    def refused(self, error: BaseException) -> None:
        """What was wrong: one of our errors by its name, or `internal`."""
        name = type(error).__name__ if isinstance(error, BatonError) else "internal"
        _ERRORS.labels(self._model, name).inc()


@cache
def tally(model: str) -> Tally:
    """The counts of a model that is served here; empty for requests that found none."""
    return Tally(model)


class _Collector(MultiProcessCollector):
    """Leaves out a file that cannot be read, such as one whose process was killed making it."""

    def collect(self) -> Iterable[Metric]:
        """Every file that can be read, merged."""
        files = [str(path) for path in Path(self._path).glob("*.db") if _is_whole(path)]
        try:
            return self._merged(files)
        except Exception:  # noqa: BLE001 - whatever is in it
            return self._merged([file for file in files if self._is_sound(file)])

    def _merged(self, files: Sequence[str]) -> Iterable[Metric]:
        return self.merge(files, accumulate=True)  # type: ignore[no-untyped-call, no-any-return]

    def _is_sound(self, file: str) -> bool:
        try:
            self._merged([file])
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("%s: not counted, it cannot be read: %s", file, error)
            return False
        return True


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
