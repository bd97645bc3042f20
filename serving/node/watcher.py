"""The watcher: one a node. Looks at what is aspired, and makes the node serve it.

It looks at the ledger (one query a poll, whatever the number of models), or where its settings say,
and writes only this node's status row. Fetching, trials, swaps and the status have threads of their
own, so that none of them delays another model's rollback. What costs time is done only for models
of which something changed. Nothing it does can take away what serves: see `flip.py`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial

from registry.errors import BatonError, BundleInvalid, LostRace, SettingsError, Unreachable
from registry.ledger import Route
from serving import metrics
from serving.assignments import Assignment
from serving.node.aspired import Aspired, Outlook
from serving.node.flip import Flipper
from serving.node.intake import LANES, Intake
from serving.node.policy import (
    LOADS_AT_ONCE,
    Action,
    Refusal,
    Snapshot,
    lacking,
    next_action,
    refuse,
)
from serving.node.status import Status
from serving.threads import started

_log = logging.getLogger("serving.watcher")


@dataclass
class Watcher:
    """One pass is `step(now)`; times are seconds of one monotonic clock.

    `fallback` serves while nothing else can be had. `wake` is called when a step would find
    something new. The executors are handed in by tests.
    """

    outlooks: Iterable[Outlook]
    flipper: Flipper
    intake: Intake
    status: Status
    keep_versions: int
    fallback: Outlook | None = None
    wake: Callable[[], None] = lambda: None
    jitter: Callable[[], float] = random.random
    loaders: Executor = field(default_factory=partial(started, LANES, "fetch"))
    flips: Executor = field(default_factory=partial(started, LANES, "flip"))
    _aspired: dict[str, Aspired] = field(default_factory=dict)
    _refusals: dict[str, dict[str, Refusal]] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)
    _loads: dict[str, tuple[float, ...]] = field(default_factory=dict)
    _loading: dict[str, tuple[str, Future[None]]] = field(default_factory=dict)
    _flipping: dict[str, tuple[Aspired, Future[None]]] = field(default_factory=dict)
    _damaged: set[str] = field(default_factory=set)
    _due: set[str] = field(default_factory=set)
    _closing: bool = False

    def __post_init__(self) -> None:
        """Requests for models this node is meant to serve wait instead of being unknown."""
        for outlook in self.outlooks:
            self.flipper.expect(outlook.expected)
        held = (one.current for one in self.flipper.models.values())
        used = {version.digest for one in held if one for version in one.versions}
        self._damaged = {digest for digest in used if not self.intake.store.holds(digest)}

    def step(self, now: float) -> None:
        """Look, finish what was under way, start or flip what is due."""
        self._look()
        self._finish(now)
        for model in list(self._due):
            self._act(model, now)
        self.status.tell(self.flipper.models, now)

    def close(self) -> None:
        """Start nothing more; a fetch ends at once, a trial is not waited for."""
        self._closing = True
        for executor in (self.loaders, self.flips):
            executor.shutdown(wait=False, cancel_futures=True)

    @property
    def is_busy(self) -> bool:
        """Whether a version is being fetched, tried or flipped."""
        return bool(self._loading or self._flipping)

    def _look(self) -> None:
        for outlook in self.outlooks:
            try:
                news = outlook.news()
            except (SettingsError, Unreachable) as error:
                # An older or newer schema, or a role that may not read, is put right elsewhere.
                _log.warning("cannot read the ledger, serving goes on: %s", error)
                self._fall_back(str(error))
                continue
            for aspired in news:
                self._aspired[aspired.model] = aspired
                self._due.add(aspired.model)
                self.flipper.expect([aspired.model])

    def _fall_back(self, why: str) -> None:
        """Serve the version on disk where nothing was ever served."""
        if self.fallback and not any(held.key for held in self.flipper.models.values()):
            for aspired in self.fallback.news():
                _log.error("%s serves from the fallback directory: %s", aspired.model, why)
                self._aspired[aspired.model] = aspired
                self._due.add(aspired.model)

    def _act(self, model: str, now: float) -> None:
        if model in self._flipping:
            return
        aspired = self._aspired[model]
        loading = self._loading.get(model)
        snapshot = Snapshot(
            self.flipper.held(model),
            loading[0] if loading else None,
            frozenset(self._ready),
            self._refusals.get(model, {}),
            damaged=frozenset(self._damaged),
            loads=self._loads.get(model, ()),
        )
        action = next_action(snapshot, aspired, now)
        if action is Action.LOAD and loading is None:
            self._loads[model] = (*self._loads.get(model, ()), now)[-LOADS_AT_ONCE:]
            self._load(model, lacking(snapshot, aspired)[0])
        elif action is Action.FLIP and aspired.assignment:
            self._flip(aspired, aspired.assignment, now)
        elif action is Action.RETIRE:
            self._retire(aspired)
        if action is Action.NOTHING and loading is None:
            self._due.discard(model)

    def _load(self, model: str, route: Route) -> None:
        wanted = partial(self._wants, model, [route.digest])
        loaded = self.loaders.submit(self.intake.obtain, route, wanted=wanted)
        self._loading[model] = (route.digest, loaded)
        self._forget_parts()
        loaded.add_done_callback(lambda _: self.wake())

    def _flip(self, aspired: Aspired, assignment: Assignment, now: float) -> None:
        wanted = partial(self._wants, aspired.model, aspired.digests)
        flipped = self.flips.submit(self.flipper.flip, assignment, wanted=wanted)
        self._flipping[aspired.model] = (aspired, flipped)
        flipped.add_done_callback(lambda _: self.wake())
        if flipped.done():
            self._finish_flip(aspired.model, now)

    def _retire(self, aspired: Aspired) -> None:
        try:
            self.flipper.retire(aspired.model, aspired.key)
        except OSError as error:
            _log.error("%s is not retired yet, next poll again: %s", aspired.model, error)
        else:
            self._served(aspired)

    def _wants(self, model: str, digests: Collection[str]) -> bool:
        """Whether versions that are on their way are still asked for."""
        return not self._closing and set(digests) <= set(self._aspired[model].digests)

    def _finish(self, now: float) -> None:
        for model, (_, flipped) in list(self._flipping.items()):
            if flipped.done():
                self._finish_flip(model, now)
        for model, (digest, loaded) in list(self._loading.items()):
            if loaded.done():
                del self._loading[model]
                self._due.add(model)
                self._finish_load(model, digest, loaded.exception(), now)

    def _finish_load(
        self, model: str, digest: str, error: BaseException | None, now: float
    ) -> None:
        if isinstance(error, LostRace):
            _log.info("not fetched: %s", error)
        elif error is not None:
            self._refuse(model, digest, error, now)
        elif digest in self._damaged:
            self._damaged.discard(digest)
            self.flipper.again(model)
        elif digest in self._aspired[model].digests:
            self._ready.add(digest)

    def _finish_flip(self, model: str, now: float) -> None:
        aspired, flipped = self._flipping.pop(model)
        self._due.add(model)
        self._ready.difference_update(aspired.digests)
        error = flipped.exception()
        if error is None:
            self._served(aspired)
        elif isinstance(error, LostRace):
            _log.info("not flipped: %s", error)
        elif isinstance(error, (BatonError, OSError)):
            self._refuse(model, self._new_one(aspired), error, now)
        else:
            raise error

    def _served(self, aspired: Aspired) -> None:
        model = aspired.model
        self._refusals.pop(model, None)
        metrics.SWAPS.labels(model, "served").inc()
        self.status.show(model, self.flipper.held(model))
        what = f"v{aspired.route.version} serves" if aspired.route else "is retired"
        if aspired.arm:
            arm = aspired.arm
            what += f", v{arm.version} beside it ({arm.role}, {arm.weight:g} of requests)"
        _log.info("%s %s", model, what, extra={"seq": str(aspired.key)})
        if self.fallback and aspired.key.epoch == 0 and model in self.fallback.expected:
            why = "the fallback directory serves: nothing else could be reached"
            self.flipper.refuse(model, why)
        self._prune()

    def _refuse(self, model: str, digest: str, error: BaseException, now: float) -> None:
        """Remember why a version is not served, and show it; the old one goes on serving."""
        known = self._refusals.setdefault(model, {})
        known[digest] = refuse(known.get(digest), str(error), now, self.jitter())
        aspired = self._aspired[model]
        route = next((one for one in aspired.routes if one.digest == digest), None)
        if route is None:
            return
        # Only a verdict on the version itself counts when the registrar asks its nodes: a store
        # that does not answer, or a full disk, is no reason to leave the version. Of one that is to
        # be beside what serves it only ends that.
        verdict = aspired.key if isinstance(error, BundleInvalid) else None
        where = f" ({digest[:12]}), to be beside what serves," if route is aspired.arm else ""
        self.flipper.refuse(model, f"v{route.version}{where} refused: {error}", verdict)
        metrics.SWAPS.labels(model, "refused").inc()
        self.status.show(model, self.flipper.held(model))
        if isinstance(error, OSError):
            self._prune(spare=False)
        _log.error("refused %s v%s, the old version stays: %s", model, route.version, error)

    def _new_one(self, aspired: Aspired) -> str:
        """The digest that a flip failed for: where the version serves already, the one beside."""
        current = self.flipper.held(aspired.model).current
        is_served = current is not None and current.digest == aspired.digest
        return aspired.arm.digest if aspired.arm and is_served else aspired.digest

    def _prune(self, *, spare: bool = True) -> None:
        """Remove versions that are too many; without `spare`, all that nothing needs now."""
        held = self.flipper.models.values()
        keep = {assignment.digest for one in held for assignment in one}
        keep |= {digest for digest, _ in self._loading.values()} | self._ready
        keep |= {digest for aspired, _ in self._flipping.values() for digest in aspired.digests}
        # A version for a while beside another one takes no room from a way back.
        arms = sum(1 for one in held if one.current and one.current.arm)
        most = self.keep_versions * max(1, len(held)) + arms if spare else 0
        self.intake.store.prune(keep, most=most)
        self._forget_parts()

    def _forget_parts(self) -> None:
        """What broke off is for the versions that are still to come."""
        busy = {digest for digest, _ in self._loading.values()}
        wanted = {digest for one in self._aspired.values() for digest in one.digests}
        self.intake.store.forget_parts(wanted, busy=busy)
