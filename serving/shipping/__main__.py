"""`python -m serving.shipping`: the process that ships this node's predictions to their log."""

from __future__ import annotations

import fcntl
import logging
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import IO, Final

from registry import log, process
from registry.errors import BatonError
from registry.predictions import PredictionSink
from registry.settings import Settings
from registry.stop import Stop
from serving import metrics
from serving.shipping.pace import LOOK_SECONDS, Pace
from serving.shipping.shipper import Shipper
from serving.threads import started

_log = logging.getLogger("serving.shipping")
_LAST_SECONDS: Final = 5.0
_NICENESS: Final = 19
_URGENT_SHARE: Final = 0.25  # of the spool: from here on it no longer gives way to requests


class Shipping:
    """Passes one after the other, until told to stop.

    They give way to requests, as long as there is room: they are made by one of two threads, and
    what is a thread's niceness cannot be taken back.
    """

    def __init__(self, shipper: Shipper, *, most_bytes: int, pace: Pace) -> None:
        """`most_bytes` are those of the spool."""
        self._shipper, self._pace = shipper, pace
        self._urgent_bytes = most_bytes * _URGENT_SHARE
        self._modest = started(1, "ship", niceness=_NICENESS)
        self._urgent = started(1, "ship-now")
        self._complaint = ""

    def run(self, stop: threading.Event) -> None:
        """Ship until `stop`; then what is left, within a few seconds."""
        while not stop.is_set():
            stop.wait(self._pass())
        deadline = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < deadline:
            if self._pass() > 0:
                break
        for thread in (self._modest, self._urgent):
            thread.shutdown(wait=False, cancel_futures=True)

    def _pass(self) -> float:
        """One pass; seconds until the next."""
        try:
            shipped = self._thread().submit(self._shipper.step).result()
        except Exception as error:  # noqa: BLE001 - of whatever the log is kept in
            metrics.LOG_SINK_UP.set(0)
            if str(error) != self._complaint:
                self._complaint = str(error)
                unknown = None if isinstance(error, BatonError) else error
                _log.warning("predictions stay in the spool for now: %s", error, exc_info=unknown)
            return self._pace.after_failure()
        if self._complaint:
            self._complaint = ""
            _log.info("predictions are shipped again")
        return self._pace.after(has_more=shipped > 0 and self._shipper.has_more)

    def _thread(self) -> ThreadPoolExecutor:
        return self._urgent if self._shipper.used > self._urgent_bytes else self._modest


def main() -> None:
    """Ship this node's spool until told to stop or until the parent ends."""
    process.die_with_parent()
    settings = Settings.read()
    log.to_json(settings.log_level)
    metrics.forget_watchers_before(settings.metrics_dir)
    stop = Stop.on(signal.SIGTERM)
    with _alone(settings, stop):
        if stop.is_set():
            return
        shipper = Shipper(settings.spool_dir, sink=_sink(settings))
        pace = Pace(random.random)
        Shipping(shipper, most_bytes=settings.spool_mb * 1024 * 1024, pace=pace).run(stop)


def _sink(settings: Settings) -> Callable[[], PredictionSink]:
    """The sink, opened at the first pass that can."""

    @cache
    def sink() -> PredictionSink:
        # What it imports takes a while, and nobody who only reads this file needs it.
        from registry.sql_predictions import open_sink  # noqa: PLC0415

        return open_sink(settings)

    return sink


def _alone(settings: Settings, stop: threading.Event) -> IO[str]:
    """Wait until no other shipper has this spool: one of a server that was killed may end just now.

    The file that is returned holds it.
    """
    settings.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (settings.spool_dir / "shipper.lock").open("w")
    while not stop.is_set():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            stop.wait(LOOK_SECONDS)
    return lock


if __name__ == "__main__":
    main()
