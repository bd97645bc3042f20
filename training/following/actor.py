"""Does what follows: queues a training, and puts the version that it made through the gates.

One `step` looks at every model whose policy asks for something. It keeps nothing of its own: the
queue and the ledger say what followed before, so that two actors, or one that is started again,
repeat nothing. Called by the monitor, with what its rules say.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from registry.errors import (
    BatonError,
    GatesRefused,
    KeyReused,
    LostRace,
    Refused,
    TooManyRequests,
    Underway,
    UnknownName,
    Unreachable,
)
from registry.jobs import JobKind, JobQueue, JobRequest
from registry.ledger import Door, Entry, EntryKind
from registry.policy import Policy, Promote, Retrain
from registry.promotion import MAX_TAG, REJECTED_TAG, Ports, is_version, promote
from registry.verdicts import Verdict
from training.following.decision import Known, Promotion, Train, next_action

_log = logging.getLogger(__name__)
ACTOR: Final = "following"
_SHOWN: Final = 50  # of a model's jobs; more than any policy allows a day


def owner(model: str) -> str:
    """Whose jobs they are in the queue: no API key has such an id."""
    return f"{ACTOR}:{model}"


class Following:
    """See the module. `announce` is called for each entry that is new."""

    def __init__(self, ports: Ports, queue: JobQueue, *, announce: Callable[[Entry], None]) -> None:
        """Nothing happens before `step`."""
        self._ports, self._queue, self._announce = ports, queue, announce

    def step(self, verdicts: Sequence[Verdict]) -> None:
        """One action a model at most; what one model cannot do keeps no other one waiting.

        Raises Unreachable if the ledger cannot be read.
        """
        for head in self._ports.ledger.heads():
            policy = self._ports.gates.of(head.model)
            if not _asks(policy):
                continue
            try:
                self._follow(head, policy, verdicts)
            except (Unreachable, LostRace, Underway, TooManyRequests, KeyReused) as error:
                _log.info("%s: nothing follows yet: %s", head.model, error)
            except BatonError as error:
                _log.warning("%s: nothing follows: %s", head.model, error)

    def _follow(self, head: Entry, policy: Policy, verdicts: Sequence[Verdict]) -> None:
        action = next_action(policy, verdicts, self._known(head))
        if isinstance(action, Train):
            self._train(action, policy.train)
        elif isinstance(action, Promotion):
            self._promote(action)

    def _known(self, head: Entry) -> Known:
        jobs = self._queue.newest(owner(head.model), most=_SHOWN)
        made = {int(job.outcome.version) for job in jobs[:1] if job.outcome.version}
        return Known(
            model=head.model,
            serving=head.route.version if head.route else None,
            jobs=jobs,
            done=frozenset(number for number in made if self._is_done(head.model, number)),
            now_ms=self._ports.now_ms(),
        )

    def _is_done(self, model: str, number: int) -> bool:
        """Whether it was refused, has served, or was deleted.

        One that passed and is in no entry was being promoted when somebody was killed.
        """
        try:
            version = self._ports.client.version(model, number)
        except UnknownName:
            return True
        routes = (entry.route for entry in self._ports.ledger.history(model))
        served = any(route and is_version(route, version) for route in routes)
        return served or REJECTED_TAG in version.tags

    def _train(self, action: Train, body: Mapping[str, object]) -> None:
        request = JobRequest(
            id=action.id,
            kind=JobKind.TRAIN,
            owner=owner(action.model),
            body={**body, "model": action.model},
            idempotency=action.id,
        )
        job, is_new = self._queue.enqueue(request, most_live=1)
        if is_new:
            _log.warning("%s: job %s trains it again, for %s", action.model, job.id, action.cause)

    def _promote(self, action: Promotion) -> None:
        version = self._ports.client.version(action.model, action.version)
        barred = left_by_the_watch(self._ports.ledger.history(action.model))
        try:
            done = promote(self._ports, version, actor=ACTOR, door=Door.FOLLOWING, barred=barred)
        except Refused as error:
            if not isinstance(error, GatesRefused):  # which stands on the version already
                self._ports.client.tag(version, {REJECTED_TAG: str(error)[:MAX_TAG]})
            _log.warning("%s, of job %s, is not promoted: %s", version, action.job, error)
            return
        if done.entry:
            _log.info("%s, of job %s, serves as seq %s", version, action.job, done.entry.key)
            self._announce(done.entry)


def left_by_the_watch(history: Sequence[Entry]) -> frozenset[str]:
    """Digests that the watch has ended: no machine promotes these bytes again."""
    watched = [pair for pair in itertools.pairwise(history) if pair[0].door is Door.WATCH]
    left = {before.digest for entry, before in watched if entry.kind is EntryKind.ROLLBACK}
    arms = [before.arm for entry, before in watched if entry.kind is EntryKind.STOP]
    return frozenset(left | {arm.digest for arm in arms if arm})


def _asks(policy: Policy) -> bool:
    return policy.retrain is not Retrain.MANUAL or policy.promote is Promote.AUTO
