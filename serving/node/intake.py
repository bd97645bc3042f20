"""Getting a version into the node store: fetch, verify, try, keep. Runs on the watcher's threads.

One download a version and node; a few at a time, and fewer trials, since those take the machine
from the requests beside them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from registry.errors import TrialFailed
from registry.ledger import Route
from registry.trial import Trial
from serving.node.fetch import Fetcher
from serving.node.store import NodeStore

LANES = 4
_TRIALS_AT_ONCE = 2


@dataclass
class Intake:
    """The store, and the way into it."""

    store: NodeStore
    trial: Trial
    fetcher: Fetcher = field(default_factory=Fetcher)
    _trials: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(_TRIALS_AT_ONCE)
    )
    _alone: dict[str, threading.Lock] = field(default_factory=dict)

    def obtain(self, route: Route, *, wanted: Callable[[], bool]) -> None:
        """Have the version in the store; nothing to do if it is there.

        Raises BundleInvalid, TrialFailed or Unreachable with the reason why it is not served, and
        LostRace as soon as `wanted` says no; OSError if the store cannot be written.
        """
        # Two models may be made of the same bytes: the second finds them in the store.
        with self._alone.setdefault(route.digest, threading.Lock()):
            if not self.store.holds(route.digest):
                self._bring(route, wanted)
        self._alone.pop(route.digest, None)

    def _bring(self, route: Route, wanted: Callable[[], bool]) -> None:
        with self.store.incoming(route.digest) as scratch:
            files = scratch / "files"
            with self.store.named():
                self.fetcher.fetch(route.source, route.manifest, files, wanted=wanted)
            route.manifest.verify(files)
            with self._trials:
                report = self.trial.run(files, manifest=route.manifest)
            if not report.ok:
                raise TrialFailed(report.reason)
            with self.store.named():
                self.store.keep(scratch, route.manifest, resident_mb=report.resident_mb)
