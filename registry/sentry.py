"""The sentry: reads the prediction log for the versions that are watched, beside the registrar.

The registrar never waits for it: `look` hands over what the last look found and has the next one
begun on a thread. What the log does not answer is unknown: nobody goes back for it. A look that
takes long is not repeated before nine times as long has passed, so that a busy log is asked for a
tenth of the time at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from registry.errors import BatonError
from registry.ledger import Entry, Ledger, Position
from registry.policy import GatesFile
from registry.prediction_counts import PredictionCounts, Reference
from registry.watch import WATCHED, Finding, Watch, find, watches_of

_log = logging.getLogger(__name__)
# What the version before is known by: more would hardly find anything sooner.
REFERENCE_REQUESTS: Final = 20_000
SILENT_SECONDS: Final = 10.0
_REST: Final = 9

Work = Callable[[], None]
Done = Callable[[], bool]


def on_a_thread(work: Work) -> Done:
    """Begin `work`; returns what tells whether it is done."""
    thread = threading.Thread(target=work, name="sentry", daemon=True)
    thread.start()
    return lambda: not thread.is_alive()


@dataclass
class _Post:
    """What is watched of a head, and what is known of it by now."""

    watch: Watch
    reference: Reference | None = None
    finding: Finding | None = None


class Sentry:
    """See the module. `look` is called by one thread, `knock` by another when something is found.

    `begin` starts a look; `monotonic` is in seconds.
    """

    def __init__(
        self,
        counts: PredictionCounts,
        *,
        ledger: Ledger,
        gates: GatesFile,
        knock: Callable[[], None],
        begin: Callable[[Work], Done] = on_a_thread,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is read before `look`."""
        self._counts, self._ledger, self._gates = counts, ledger, gates
        self._knock, self._begin, self._monotonic = knock, begin, monotonic
        self._known: dict[str, Position] = {}
        self._posts: dict[str, list[_Post]] = {}
        self._is_done: Done = lambda: True
        self._begun_at = self._next_at = float("-inf")
        self._problem = self._told = ""

    def look(self, heads: Iterable[Entry], *, now_ms: int) -> Sequence[Finding]:
        """Worse versions among `heads`, as the last look found them; never waits for the log.

        Raises Unreachable if the ledger cannot be read.
        """
        for head in heads:
            self._post(head, now_ms)
        posts = [post for of_model in self._posts.values() for post in of_model]
        found = [post.finding for post in posts if post.finding and post.finding.reason]
        now = self._monotonic()
        if self._is_done():
            if posts and now >= self._next_at:
                self._begun_at = now
                self._is_done = self._begin(lambda: self._read(posts))
        elif now - self._begun_at > SILENT_SECONDS:
            self._problem = f"it has not answered for {SILENT_SECONDS:g} s"
        self._tell()
        return found

    def _post(self, head: Entry, now_ms: int) -> None:
        """Begin to watch a head that is new, and end with one whose time is over or that moved."""
        for post in self._posts.pop(head.model, []):
            if now_ms >= post.watch.until_ms:
                _conclude(post)
            elif post.watch.head.position == head.position:
                self._posts.setdefault(head.model, []).append(post)
        if self._known.get(head.model) == head.position:
            return
        self._known[head.model] = head.position
        if head.kind not in WATCHED:
            return
        history = [one for one in self._ledger.history(head.model) if one.key <= head.key]
        watches = watches_of(history, self._gates.of(head.model), now_ms=now_ms)
        self._posts[head.model] = [_Post(watch) for watch in watches]
        for watch in watches:
            minutes = (watch.until_ms - now_ms) / 60_000
            _log.info("%s: watched for %.3g minutes", watch.versions, minutes)

    def _read(self, posts: Sequence[_Post]) -> None:
        """Look at the log: on a thread of its own, which ends whatever happens."""
        begun, problem = self._monotonic(), ""
        for post in posts:
            try:
                post.finding = self._find(post)
            except BatonError as error:
                problem = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises: it is told
                problem = repr(error)
        ended = self._monotonic()
        self._next_at = ended + _REST * (ended - begun)
        self._problem = problem
        if any(post.finding and post.finding.reason for post in posts):
            self._knock()

    def _find(self, post: _Post) -> Finding:
        watch = post.watch
        reference = post.reference or self._counts.reference(watch.old, newest=REFERENCE_REQUESTS)
        if reference.counts.requests >= watch.least:  # else it may be on its way
            post.reference = reference
        slow_ms = reference.slow_ms
        counts = self._counts.counts(watch.new, slow_ms=slow_ms)
        if watch.meanwhile is None:
            return find(watch, counts, reference)
        meanwhile = self._counts.counts(watch.meanwhile, slow_ms=slow_ms)
        return find(watch, counts, reference, meanwhile)

    def _tell(self) -> None:
        """Log what keeps the prediction log from being read, once; and that it is over."""
        problem, told, self._told = self._problem, self._told, self._problem
        if problem and problem != told:
            _log.warning("prediction log: %s; for as long nobody is rolled back by it", problem)
        elif told and not problem:
            _log.info("prediction log: it is read again")


def _conclude(post: _Post) -> None:
    """Its time is over: say what is known by now."""
    watch, found = post.watch, post.finding
    if found is None or not found.known:
        _log.warning("%s: unknown whether it is worse: nothing to compare", watch.versions)
    elif not found.reason:
        new, old = found.counts.requests, found.reference.counts.requests
        _log.info("%s: no worse, by %d requests beside %d", watch.versions, new, old)
