"""The watcher: one a node. Reads heads of the ledger, and makes the node serve them.

It reads the ledger (one query a poll, whatever the number of models) and writes only this node's
status row. Fetching and trials run on a thread of their own, so that a slow one delays no rollback.
Nothing it does can take away what serves: see `flip.py`.
"""

from __future__ import annotations

import logging
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from registry import bootstrap, log, process
from registry.errors import BatonError, LostRace, Unreachable
from registry.ledger import Entry, Ledger
from registry.nudge import Bell, knock
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.trial import Trial
from serving import metrics
from serving.assignments import Assignment
from serving.node.fetch import Fetcher
from serving.node.flip import Flipper
from serving.node.policy import Action, Refusal, Snapshot, next_action, refuse
from serving.node.sources.addresses import Addresses
from serving.node.store import NodeStore
from serving.page import Page

_log = logging.getLogger("serving.watcher")
_STATUS_SECONDS = 5.0


@dataclass
class Watcher:
    """One pass is `step(now)`; times are seconds of one monotonic clock."""

    ledger: Callable[[], Ledger]
    flipper: Flipper
    store: NodeStore
    trial: Trial
    models: tuple[str, ...]
    keep_versions: int
    node: str
    fetcher: Fetcher = field(default_factory=Fetcher)
    wake: Callable[[], None] = lambda: None  # called when a step would find something new
    jitter: Callable[[], float] = random.random
    _aspired: dict[str, Entry] = field(default_factory=dict)
    _refusals: dict[str, dict[str, Refusal]] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)
    _loading: dict[str, tuple[str, Future[None]]] = field(default_factory=dict)
    _damaged: set[str] = field(default_factory=set)
    _revision: int = 0
    _closing: bool = False
    _told_at: float = float("-inf")
    _loader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch")
    )

    def __post_init__(self) -> None:
        """Requests for models this node is meant to serve wait instead of being unknown."""
        self.flipper.expect(self.models)
        held = (one.current for one in self.flipper.assignments.models.values())
        self._damaged = {one.digest for one in held if one and not self.store.holds(one.digest)}

    def step(self, now: float) -> None:
        """Look at the ledger, finish what was loading, start or flip what is due."""
        self._poll()
        self._finish(now)
        for model in list(self._aspired):
            self._act(model, now)
        self._tell(now)

    def close(self) -> None:
        """Start nothing more; a fetch ends at once, a trial is not waited for."""
        self._closing = True
        self._loader.shutdown(wait=False, cancel_futures=True)

    @property
    def is_loading(self) -> bool:
        """Whether a version is being fetched or tried."""
        return bool(self._loading)

    def _poll(self) -> None:
        try:
            heads = self.ledger().heads(since=self._revision)
        except Unreachable as error:
            metrics.POLL_ERRORS.inc()
            _log.warning("cannot read the ledger, serving goes on: %s", error)
            return
        metrics.LAST_POLL.set_to_current_time()
        for entry in heads:
            self._revision = max(self._revision, entry.revision)
            if entry.route and (not self.models or entry.model in self.models):
                self._aspired[entry.model] = entry
        self.flipper.expect(self._aspired)

    def _act(self, model: str, now: float) -> None:
        entry = self._aspired[model]
        aspired = _assignment(entry)
        loading = self._loading.get(model)
        snapshot = Snapshot(
            self.flipper.held(model),
            loading[0] if loading else None,
            frozenset(self._ready),
            self._refusals.get(model, {}),
            damaged=entry.digest in self._damaged,
        )
        action = next_action(snapshot, aspired, now)
        if action is Action.LOAD and loading is None:
            self._forget_parts()
            loaded = self._loader.submit(self._obtain, entry)
            self._loading[model] = (entry.digest, loaded)
            loaded.add_done_callback(lambda _: self.wake())
        elif action is Action.FLIP:
            self._flip(entry, aspired, now)

    def _obtain(self, entry: Entry) -> None:
        """Fetch, verify, try and store a version; runs on the fetching thread."""
        route = entry.route
        assert route, "what is retired is not obtained"
        if self.store.holds(route.digest):
            return

        def wanted() -> bool:
            return not self._closing and self._aspired[entry.model].digest == route.digest

        with self.store.incoming(route.digest) as scratch:
            files = scratch / "files"
            self.fetcher.fetch(route.source, route.manifest, files, wanted=wanted)
            route.manifest.verify(files)
            report = self.trial.run(files, manifest=route.manifest)
            if not report.ok:
                raise BatonError(report.reason)
            self.store.keep(scratch, route.manifest)

    def _finish(self, now: float) -> None:
        for model, (digest, future) in list(self._loading.items()):
            if not future.done():
                continue
            del self._loading[model]
            error = future.exception()
            if isinstance(error, LostRace):
                _log.info("not fetched: %s", error)
            elif error is not None:
                self._refuse(model, digest, error, now)
            elif digest in self._damaged:
                self._damaged.discard(digest)
                self.flipper.again(model)
            elif digest == self._aspired[model].digest:
                self._ready.add(digest)

    def _flip(self, entry: Entry, aspired: Assignment, now: float) -> None:
        begun = time.monotonic()
        try:
            self.flipper.flip(aspired)
        except BatonError as error:
            self._ready.discard(entry.digest)
            self._refuse(entry.model, entry.digest, error, now)
            return
        self._refusals.pop(entry.model, None)
        self._ready.discard(entry.digest)
        metrics.SWAPS.labels(entry.model, "served").inc()
        _show(aspired, refused="")
        self._told_at = float("-inf")
        _log.info(
            "%s v%s serves",
            entry.model,
            aspired.version,
            extra={"seq": str(aspired.key), "flip_ms": round((time.monotonic() - begun) * 1000, 1)},
        )
        self._prune()

    def _refuse(self, model: str, digest: str, error: BaseException, now: float) -> None:
        """Remember why a version is not served, and show it; the old one goes on serving."""
        known = self._refusals.setdefault(model, {})
        known[digest] = refuse(known.get(digest), str(error), now, self.jitter())
        aspired = self._aspired[model]
        if aspired.digest != digest:
            return
        version = aspired.route.version if aspired.route else None
        self.flipper.refuse(model, f"v{version} refused: {error}")
        metrics.SWAPS.labels(model, "refused").inc()
        metrics.REFUSED.labels(model).set(1)
        self._told_at = float("-inf")
        _log.error("refused %s v%s, the old version stays: %s", model, version, error)

    def _prune(self) -> None:
        held = self.flipper.assignments.models.values()
        keep = {assignment.digest for one in held for assignment in one}
        keep |= {digest for digest, _ in self._loading.values()} | self._ready
        self.store.prune(keep, most=self.keep_versions * max(1, len(held)))
        self._forget_parts()

    def _forget_parts(self) -> None:
        """What broke off is for the versions that are still to come."""
        aspired = {entry.digest for entry in self._aspired.values()}
        self.store.forget_parts(aspired | {digest for digest, _ in self._loading.values()})

    def _tell(self, now: float) -> None:
        """Write this node's row at every change, and every few seconds."""
        if now - self._told_at < _STATUS_SECONDS:
            return
        try:
            self.ledger().write_status(
                self.node, {"models": self._status()}, at_ms=time.time_ns() // 1_000_000
            )
        except Unreachable:
            return
        self._told_at = now

    def _status(self) -> Mapping[str, Mapping[str, object]]:
        return {
            name: {
                "version": held.current.version if held.current else None,
                "seq": str(held.current.key) if held.current else None,
                "refused": held.refused,
            }
            for name, held in self.flipper.assignments.models.items()
        }


def main() -> None:
    """Run this node's watcher until it is told to stop or its parent ends."""
    process.die_with_parent()
    settings = Settings.read()
    log.to_json(settings.log_level)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    page = Page(settings.page_path)
    watcher = Watcher(
        ledger=_opened(settings.ledger_url),
        flipper=Flipper(page, settings.assignments_path, ready_seconds=settings.ready_seconds),
        store=NodeStore(settings.store_dir),
        trial=bootstrap.trial(settings),
        models=settings.models,
        keep_versions=settings.keep_versions,
        node=socket.gethostname(),
        fetcher=Fetcher(addresses=Addresses.of(settings).open, seconds=settings.fetch_seconds),
        wake=partial(knock, settings.watcher_socket),
    )
    for held in watcher.flipper.assignments.models.values():
        if held.current:
            _show(held.current, refused=held.refused)
    bell = Bell(settings.watcher_socket)
    while not stop.is_set():
        page.beat(time.time_ns() // 1_000_000)
        metrics.WORKERS.set(len(page.live_slots()))
        watcher.step(time.monotonic())
        bell.wait(settings.poll_seconds)
    bell.close()
    watcher.close()


def _opened(url: str) -> Callable[[], Ledger]:
    """The ledger, opened at the first poll that can: a node starts without it."""
    opened: list[Ledger] = []

    def ledger() -> Ledger:
        if not opened:
            opened.append(SqlLedger(url))
        return opened[0]

    return ledger


def _assignment(entry: Entry) -> Assignment:
    assert entry.route, "what is retired is not assigned"
    return Assignment(
        model=entry.model,
        version=entry.route.version,
        digest=entry.digest,
        key=entry.key,
        since_ms=entry.at_ms,
    )


def _show(assignment: Assignment, *, refused: str) -> None:
    metrics.SERVED_SEQ.labels(assignment.model).set(assignment.key.seq)
    metrics.SERVED_VERSION.labels(assignment.model).set(assignment.version)
    metrics.REFUSED.labels(assignment.model).set(1 if refused else 0)


if __name__ == "__main__":
    main()
