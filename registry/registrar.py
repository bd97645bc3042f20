"""The registrar: the only process of a registry that writes to MLflow on its own.

While it holds the lease it (a) projects pending entries, and then (b) adopts what was changed by
hand: a version somebody moved to Production, or pointed the alias `production` at, is judged and
becomes an entry, or is put back with the reason on the version. It sees a change as a difference
between MLflow and the last snapshot, never by a clock. Before both it (c) goes back from a head
that every node refuses, and from one that a sentry found to be worse than the version before; of a
version beside what serves it says that it ended: at its deadline, or for the same two reasons.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from registry.arms import OVER, end
from registry.beside import is_over
from registry.errors import (
    BatonError,
    BundleInvalid,
    LeaseLost,
    LostRace,
    Refused,
    StepFailed,
    Underway,
    UnknownName,
    Unreachable,
    UsageError,
)
from registry.heads import Heads
from registry.lease import Lease
from registry.ledger import Door, Entry, Route, Snapshot
from registry.model_version import ModelVersion
from registry.nudge import Bell
from registry.policy import Adoption
from registry.projection import project, restore
from registry.promotion import MAX_TAG, REJECTED_TAG, Ports, is_version, promote
from registry.refusals import Hearing, refusals_of
from registry.sentry import Sentry
from registry.state import ADVICE, seen, state_of
from registry.withdrawal import rollback

_log = logging.getLogger(__name__)
_RECENT = 100
_FULL_SECONDS = 60
_HOLDS = "this registrar holds the lease"
_ASK_SECONDS = 0.5  # how often a registrar in waiting looks at the lease
_NOTHING = Snapshot({}, None)
BY_HAND = "mlflow-ui"
ACTOR = "registrar"
WATCH_TAG = "baton.watch"


class Registrar:
    """One pass is `step()`, `run()` repeats it; `announce` is called for every new entry."""

    def __init__(
        self,
        ports: Ports,
        *,
        announce: Callable[[], None],
        sentry: Sentry | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing happens before `step`; `monotonic` is in seconds.

        Without a `sentry` no version is watched.
        """
        self._ports = ports
        self._sentry = sentry
        self._hearing = Hearing(monotonic)
        self._announce = announce
        self._heads = Heads(ports.ledger)
        self._seen: dict[tuple[str, int], int] = {}
        self._aliases: dict[str, int | None] = {}
        self._moved: set[str] = set()
        self._full_at_ms = 0
        self._told: dict[str, tuple[object, ...]] = {}
        self._left: set[tuple[int, int]] = set()  # versions of heads, as far as it was possible
        self._said, self._is_stuck = "", False

    def step(self) -> None:
        """Heed deadlines, nodes, sentry; project what is pending; adopt what was done by hand."""
        heads = self._heads.look()
        for head in heads:
            if is_over(head, self._ports.now_ms()):
                self._stop(head, OVER)
        self._heed(heads)
        self._watch(heads)
        for entry in self._heads.pending():
            if drawn := project(self._ports, entry.model):
                self._heads.drawn(drawn)
        for model in self._to_compare():
            try:
                self._compare(model)
                self._moved.discard(model)
            except Underway:
                continue  # it stays among those that moved, and is looked at again
            except (LostRace, UnknownName) as error:
                _log.info("changed while it was looked at: %s", error, extra={"model": model})

    def run(self, lease: Lease, bell: Bell, stop: threading.Event, *, poll_seconds: float) -> None:
        """Step at every poll and knock while `lease`, which fences the ports, can be had."""
        while not stop.is_set():
            try:
                if lease.acquire():
                    if not self._is_stuck:
                        self._say(logging.INFO, _HOLDS)
                    with lease.kept():
                        self._work(lease, bell, stop, poll_seconds)
                else:
                    self._say(logging.INFO, "another registrar holds the lease; waiting for it")
            except (Unreachable, StepFailed, LeaseLost) as error:
                self._is_stuck = True
                self._say(logging.WARNING, f"registrar cannot work: {error}")
            bell.wait(min(poll_seconds, _ASK_SECONDS))

    def _work(self, lease: Lease, bell: Bell, stop: threading.Event, poll_seconds: float) -> None:
        """Step until stopped; anything unexpected ends this round, and the lease with it."""
        while not stop.is_set():
            lease.check()
            self.step()
            self._is_stuck = False
            self._say(logging.INFO, _HOLDS)
            bell.wait(poll_seconds)

    def _say(self, level: int, what: str) -> None:
        """Log how it is, once: as long as a registry is away, nothing changes twice a second."""
        if what != self._said:
            self._said = what
            _log.log(level, "%s", what)

    def _heed(self, heads: Iterable[Entry]) -> None:
        """Leave a head that every live node refuses; of one that some refuse, tell."""
        statuses = self._ports.ledger.statuses()
        self._hearing.listen(statuses)
        lives = self._hearing.lives(self._ports.now_ms())
        for head in heads:
            refusals = refusals_of(head, statuses, lives=lives)
            if not head.route or not refusals.reasons:
                continue
            if refusals.by_all and head.arm:
                self._stop(head, str(refusals))
            elif refusals.by_all and (head.revision, head.route.version) not in self._left:
                self._leave(head, head.route, str(refusals))
            elif self._told.get(head.model) != (head.revision, *refusals.reasons):
                self._told[head.model] = (head.revision, *refusals.reasons)
                _log.warning("%s v%s: %s", head.model, head.route.version, refusals)

    def _watch(self, heads: Iterable[Entry]) -> None:
        """Leave a head that is worse than the version before, or tell, as its policy says."""
        if self._sentry is None:
            return
        for found in self._sentry.look(heads, now_ms=self._ports.now_ms()):
            head, reason = found.watch.head, found.reason
            route = head.arm if found.watch.of_arm else head.route
            if route is None or (head.revision, route.version) in self._left:
                continue
            if not found.is_left:
                self._mark(head.model, route, WATCH_TAG, reason)
                self._left.add((head.revision, route.version))
                _log.error("%s; it stays: its policy is alert", reason)
            elif found.watch.of_arm:
                self._stop(head, reason, door=Door.WATCH)
            else:
                self._leave(head, route, reason, door=Door.WATCH)

    def _stop(self, head: Entry, reason: str, *, door: Door = Door.REGISTRAR) -> None:
        """End what is beside the version that serves; that one goes on, whatever was wrong."""
        if head.arm and reason != OVER:
            with suppress(Unreachable):  # its end does not wait for MLflow
                self._mark(head.model, head.arm, REJECTED_TAG, reason)
        try:
            entry = end(self._ports, head, actor=ACTOR, door=door, reason=reason)
        except LostRace as error:
            _log.info("%s: %s; not stopped: %s", head.model, reason, error)
        else:
            _log.warning("%s %s ended as seq %s: %s", head.model, head.kind, entry.key, reason)
            self._announce()

    def _leave(
        self, head: Entry, route: Route, reason: str, *, door: Door = Door.REGISTRAR
    ) -> None:
        """Go back from a head that cannot stay; once, if there is nothing to go back to."""
        model, ports = head.model, self._ports
        self._mark(model, route, REJECTED_TAG, reason)
        try:
            back = rollback(
                ports, model, actor=ACTOR, to=None, reason=reason, door=door, leaving=head
            )
        except (LostRace, Unreachable) as error:
            _log.warning("%s v%s: %s; not rolled back: %s", model, route.version, reason, error)
        except (Refused, BundleInvalid, UsageError) as error:
            self._left.add((head.revision, route.version))
            _log.error("%s v%s: %s; it stays: %s", model, route.version, reason, error)
        else:
            _log.error("%s v%s: %s; back to seq %s", model, route.version, reason, back.key)
            self._announce()

    def _mark(self, model: str, route: Route, name: str, reason: str) -> None:
        """Say on a version what is wrong with it; before it is left: no crash forgets it."""
        with suppress(UnknownName):  # it may have been deleted since
            version = self._ports.client.version(model, route.version)
            tag = reason[:MAX_TAG]
            if is_version(route, version) and version.tags.get(name) != tag:
                self._ports.client.tag(version, {name: tag})

    def _to_compare(self) -> Iterable[str]:
        """Models where something moved since they were last compared; all of them once a minute."""
        aliases = dict(self._ports.client.models())
        if abs(self._ports.now_ms() - self._full_at_ms) > _FULL_SECONDS * 1000:
            self._full_at_ms = self._ports.now_ms()
            self._heads.forget()
            self._moved |= aliases.keys()
        self._moved |= {name for name in aliases if self._aliases.get(name) != aliases[name]}
        self._moved &= aliases.keys()
        self._aliases = aliases
        for version in self._ports.client.recent(_RECENT):
            key = (version.name, version.version)
            if self._seen.get(key) != version.updated_ms:
                self._seen[key] = version.updated_ms
                self._moved.add(version.name)
        return sorted(self._moved)

    def _compare(self, model: str) -> None:
        """Adopt or put back whatever differs from the last snapshot."""
        # Appended since this step began: until it is drawn, what MLflow shows is nobody's wish.
        head = project(self._ports, model)
        if head and self._was_made_again(head):
            head = None
        before = head.snapshot if head and head.snapshot else _NOTHING
        now = self._ports.client.snapshot(model)
        if now == before:
            return
        staged, aliased = now.production - before.production, now.alias
        wanted = self._wanted(model, staged)
        if aliased is not None and aliased != before.alias:
            version = self._ports.client.version(model, aliased)
            if wanted is not None and wanted.version != aliased:
                self._refuse_both(model, before, (wanted, version))
                return
            wanted = version
        route = head.route if head else None
        if wanted is None or (route and route.version == wanted.version):
            self._accept(model, head, now)
            return
        self._adopt(wanted, before)

    def _was_made_again(self, head: Entry) -> bool:
        """Whether the model was deleted, and the head's number given to another version."""
        route = head.route
        if route is None:
            return False
        found = self._ports.client.versions(head.model)
        return any(v.version == route.version and not is_version(route, v) for v in found)

    def _wanted(self, model: str, staged: frozenset[int]) -> ModelVersion | None:
        """Of versions newly in Production, the one moved there last."""
        found = [v for v in self._ports.client.versions(model) if v.version in staged]
        return max(found, key=lambda v: v.updated_ms, default=None)

    def _adopt(self, version: ModelVersion, before: Snapshot) -> None:
        """Judge a version that a person chose; make it the head, or put the registry back."""
        try:
            if self._ports.gates.of(version.name).adoption is Adoption.DENY:
                raise Refused("its policy denies changes by hand; use `make promote`")
            promoted = promote(self._ports, version, actor=BY_HAND, door=Door.MLFLOW)
        except (Unreachable, LostRace, LeaseLost, UsageError, Underway):
            raise  # not the version's fault; another ledger's registry least of all
        except BatonError as error:
            _log.warning("refused %s, put back: %s", version, error)
            self._ports.client.tag(version, {REJECTED_TAG: str(error)[:MAX_TAG]})
            restore(self._ports, version.name, before)
            return
        _log.info("adopted %s", version, extra={"seq": str(promoted.entry and promoted.entry.key)})
        self._announce()
        project(self._ports, version.name)

    def _refuse_both(
        self, model: str, before: Snapshot, versions: tuple[ModelVersion, ModelVersion]
    ) -> None:
        """Stage and alias were both moved, to different versions: nobody can say what was meant."""
        numbers = " and ".join(f"v{v.version}" for v in versions)
        for version in versions:
            reason = f"stage Production and alias production were moved to {numbers}"
            self._ports.client.tag(version, {REJECTED_TAG: reason})
        restore(self._ports, model, before)

    def _accept(self, model: str, head: Entry | None, now: Snapshot) -> None:
        """A change that asks for nothing: another stage, or Production taken away by hand."""
        if head is None:
            return
        _, versions = seen(self._ports.client, model)
        state = state_of(head, now, versions)
        if ADVICE[state]:
            _log.warning("%s is %s: %s", model, state, ADVICE[state], extra={"model": model})
        self._ports.ledger.mark_synced(head, now)
