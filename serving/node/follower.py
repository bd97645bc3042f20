"""Models that do not follow the ledger: `name@Staging`, `name@7`, `name@alias:champion`.

MLflow is asked directly, on a thread of its own, and the version's files are brought to a scratch
directory and hashed there; the watcher then takes them from it like from any store. Such a version
has no place in the ledger's order: answers carry no X-Model-Seq.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.bundle import Manifest
from registry.client import RegistryClient
from registry.errors import BatonError, BundleInvalid
from registry.evidence import KIND_TAG
from registry.ledger import Key, Route
from registry.model_version import ModelVersion
from registry.promotion import TICKER_TAG
from registry.selector import Selector
from serving.assignments import Held
from serving.node.aspired import Aspired

_log = logging.getLogger("serving.watcher")
_STOP_SECONDS = 5.0


@dataclass
class Follower:
    """What the selectors name, as it changes. `held` tells what the node has of a model."""

    client: Callable[[], RegistryClient]
    selectors: Sequence[Selector]
    scratch: Path
    held: Callable[[str], Held]
    poll_seconds: float
    wake: Callable[[], None] = lambda: None
    _brought: dict[str, tuple[int, int]] = field(default_factory=dict)
    _news: queue.SimpleQueue[Aspired] = field(default_factory=queue.SimpleQueue)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def expected(self) -> list[str]:
        """See `Outlook.expected`."""
        return [selector.model for selector in self.selectors]

    def news(self) -> Iterable[Aspired]:
        """See `Outlook.news`; MLflow being away shows in the log, and as no news."""
        out = []
        while not self._news.empty():
            out.append(self._news.get())
        return out

    def start(self) -> None:
        """Look at MLflow at every poll until `close`."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; an answer that MLflow owes is not waited for."""
        self._stop.set()
        if self._thread:
            self._thread.join(_STOP_SECONDS)

    def look(self) -> None:
        """Look once at every selector; what cannot be had now is looked for again."""
        for selector in self.selectors:
            try:
                self._look_at(selector)
            except (BatonError, OSError) as error:
                _log.warning("%s cannot be followed, serving goes on: %s", selector, error)

    def _follow(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self.poll_seconds)

    def _look_at(self, selector: Selector) -> None:
        client, model = self.client(), selector.model
        version = selector.resolve(client)
        if version is None:
            return  # nothing there now: what serves goes on serving
        identity = (version.version, version.created_ms)
        if self._brought.get(model) == identity:
            self._tidy(model)
            return
        route = self._bring(client, version)
        self._brought[model] = identity
        self._news.put(self._aspired(version, route))
        self.wake()

    def _bring(self, client: RegistryClient, version: ModelVersion) -> Route:
        """Have the version's files in the scratch directory, hashed."""
        into = self._folder(version.name) / str(version.version)
        shutil.rmtree(into.parent, ignore_errors=True)
        into.parent.mkdir(parents=True)
        client.download(version, into)
        manifest = dataclasses.replace(Manifest.of(into), kind=version.tags.get(KIND_TAG))
        judged = version.tags.get("baton.digest")
        if judged not in {None, manifest.digest}:
            raise BundleInvalid(f"{version}: its files are not those that were judged")
        return Route(
            version=version.version,
            created_ms=version.created_ms,
            digest=manifest.digest,
            source=str(into),
            manifest=manifest,
            ticker=version.tags.get(TICKER_TAG, ""),
        )

    def _aspired(self, version: ModelVersion, route: Route) -> Aspired:
        """In the node's own order: after what it holds, unless that is the same."""
        held = self.held(version.name)
        key, at_ms = held.key, version.updated_ms
        if key is None or key.epoch > 0:
            key = Key(0, 1)
        elif held.current and (held.current.version, held.current.digest) == (
            route.version,
            route.digest,
        ):
            at_ms = held.current.since_ms
        else:
            key = Key(0, key.seq + 1)
        return Aspired(model=version.name, key=key, at_ms=at_ms, route=route)

    def _tidy(self, model: str) -> None:
        """What is in the node store needs no scratch copy."""
        current = self.held(model).current
        folder = self._folder(model)
        if current and (folder / str(current.version)).is_dir():
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, model: str) -> Path:
        return self.scratch / str(self.expected.index(model))
