"""`python -m serving.node`: the watcher's process. Puts its parts together and runs it."""

from __future__ import annotations

import dataclasses
import signal
import socket
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from registry import bootstrap, log, process, trial
from registry.client import MlflowRegistry, RegistryClient
from registry.jobs import JobQueue
from registry.ledger import Ledger
from registry.listener import Listener
from registry.nudge import Bell, knock
from registry.selector import Selector
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from registry.sql_ledger import SqlLedger
from registry.stop import Stop
from registry.zygote import Zygote
from serving import metrics
from serving.keys import KeyFile
from serving.node.aspired import Outlook
from serving.node.directory import Directory
from serving.node.fetch import Fetcher
from serving.node.flip import Flipper
from serving.node.follower import Follower
from serving.node.heads import LedgerHeads
from serving.node.intake import Intake
from serving.node.sources.addresses import Addresses
from serving.node.status import Status
from serving.node.store import NodeStore
from serving.node.surroundings import Surroundings
from serving.node.take_up import take_up
from serving.node.watcher import Watcher
from serving.page import Page


def main() -> None:
    """Run this node's watcher until it is told to stop or its parent ends."""
    process.die_with_parent()
    settings = Settings.read()
    log.to_json(settings.log_level)
    metrics.forget_watchers_before(settings.metrics_dir)
    stop = Stop.on(signal.SIGTERM)
    page = Page(settings.page_path)
    bell = Bell(settings.watcher_socket)
    flipper = take_up(settings, page)
    zygote = Zygote(trial.MODULE, _engines(settings), trial.environment())
    zygote.start()
    node = socket.gethostname()
    ledger = None if settings.bundle else _opened(settings.ledger_url, node)
    follower = _follower(settings, flipper)
    watcher = Watcher(
        outlooks=_outlooks(settings, ledger, follower),
        flipper=flipper,
        intake=Intake(
            NodeStore(settings.store_dir),
            dataclasses.replace(bootstrap.trial(settings), zygote=zygote),
            Fetcher(addresses=Addresses.of(settings).open, seconds=settings.fetch_seconds),
        ),
        # Its own connection: it may wait for a locked ledger while heads are read.
        status=Status(node, None if settings.bundle else _opened(settings.ledger_url, node)),
        keep_versions=settings.keep_versions,
        fallback=Directory(Path(settings.fallback_dir)) if settings.fallback_dir else None,
        wake=partial(knock, settings.watcher_socket),
    )
    for name, held in flipper.models.items():
        watcher.status.show(name, held)
    surroundings = Surroundings(
        settings.home,
        KeyFile(settings.keys_path),
        None if settings.bundle else _opened_queue(settings.jobs_url),
    )
    listener = Listener(settings.ledger_url, watcher.wake)
    if not settings.bundle:
        listener.start()
    if follower.selectors:
        follower.start()
    while not stop.is_set():
        page.beat(time.time_ns() // 1_000_000)
        metrics.WORKERS.set(len(page.live_slots()))
        watcher.step(time.monotonic())
        surroundings.look(time.monotonic())
        bell.wait(settings.poll_seconds)
    bell.close()
    listener.close()
    follower.close()
    watcher.close()
    surroundings.close()
    zygote.close()


def _engines(settings: Settings) -> list[str]:
    """What a trial imports of the engines, but for MLflow: that would be in every trial."""
    return [f"serving.engines.{name}" for name in settings.engines]


def _outlooks(
    settings: Settings, ledger: Callable[[], Ledger] | None, follower: Follower
) -> list[Outlook]:
    if ledger is None:
        return [Directory(Path(settings.bundle))]
    selectors = [Selector.parse(text) for text in settings.models]
    names = [one.model for one in selectors if not one.is_pinned]
    heads = LedgerHeads(ledger, names, every_model=not selectors)
    return [
        *([heads] if names or not selectors else []),
        *([follower] if follower.selectors else []),
    ]


def _follower(settings: Settings, flipper: Flipper) -> Follower:
    selectors = () if settings.bundle else settings.models
    pinned = [one for one in map(Selector.parse, selectors) if one.is_pinned]

    @cache
    def client() -> RegistryClient:
        return MlflowRegistry(
            tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
        )

    return Follower(
        client=client,
        selectors=pinned,
        scratch=settings.home / "followed",
        held=flipper.held,
        poll_seconds=settings.poll_seconds,
        wake=partial(knock, settings.watcher_socket),
    )


def _opened(url: str, node: str) -> Callable[[], Ledger]:
    """The ledger, opened at the first poll that can: a node starts without it."""

    @cache
    def ledger() -> Ledger:
        return SqlLedger(url, application=node)

    return ledger


def _opened_queue(url: str) -> Callable[[], JobQueue]:
    """The queue of jobs, opened at the first look that can."""

    @cache
    def queue() -> JobQueue:
        return SqlJobs(url)

    return queue


if __name__ == "__main__":
    main()
