"""What a new version is watched for after its promotion or in a split, and what follows. Pure.

The version before, or the one that it is beside, is the measure: a share of errors, of slow or of
unsure answers that has grown is found by `sequential.has_grown`, whose false alarms are bounded
however often one looks. What is watched shares the bound of FALSE_ALARMS; errors have two parts.
Called by the sentry, beside the registrar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry.beside import BESIDE, standing
from registry.ledger import Entry, EntryKind, Role, Route
from registry.policy import Policy, Rollback, Symptom
from registry.prediction_counts import UNSURE_BELOW, Counts, Reference, Stint
from registry.sequential import LEAST_RATIO, Share, has_grown

# Of promotions of a version that is no worse, at most so many are taken back. Half of what is
# promised: of a thousand windows, ten may come together by chance.
FALSE_ALARMS: Final = 0.005
PARTS: Final = {Symptom.ERRORS: 2, Symptom.LATENCY: 1, Symptom.CONFIDENCE: 1}
# What the version that a split's arm is beside has to be known by. Both go on answering; so the
# measure is taken once, and then nothing is looked at that was not there yet.
LEAST_KNOWN: Final = 1_000
WATCHED: Final = frozenset({EntryKind.PROMOTE, *BESIDE})
_MINUTE_MS: Final = 60_000
# Clocks of nodes may be behind that of whoever promoted; by its key a record is the entry's.
_SKEW_SECONDS: Final = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A head of which a version is watched, beside what, and what its policy says.

    `least` is how many requests of `old` have to be known. In a split `meanwhile` is what the
    version that serves answers during it: what goes wrong for both is nobody's fault.
    """

    head: Entry
    new: Stint
    old: Stint
    versions: str
    policy: Policy
    until_ms: int
    least: int = 1
    meanwhile: Stint | None = None

    @property
    def of_arm(self) -> bool:
        """Whether it is the version beside the one that serves."""
        return self.meanwhile is not None


@dataclass(frozen=True)
class Finding:
    """What a look has come to; `reason` is empty unless the new version is worse."""

    watch: Watch
    counts: Counts
    reference: Reference
    reason: str

    @property
    def known(self) -> bool:
        """Whether there was enough to compare."""
        known = self.reference.counts.requests
        return self.counts.requests > 0 and known >= self.watch.least

    @property
    def is_left(self) -> bool:
        """Whether the version is to be gone back from, and not only told of."""
        return bool(self.reason) and self.watch.policy.rollback is Rollback.AUTO


def watches_of(history: Sequence[Entry], policy: Policy, *, now_ms: int) -> Sequence[Watch]:
    """Every watch over a model's head (`history`, newest first) that there is at `now_ms`."""
    found = (watch_of(history, policy, now_ms=now_ms), arm_watch_of(history, policy, now_ms=now_ms))
    return [watch for watch in found if watch]


def watch_of(history: Sequence[Entry], policy: Policy, *, now_ms: int) -> Watch | None:
    """The watch over what serves, if there is one at `now_ms`.

    A promotion is watched that put another version in the place of one, and goes on being watched
    while something is put beside it. A rollback is not: nobody goes back from where they went back
    to. An entry of a clock that is ahead has just begun.
    """
    new = standing(history, past=BESIDE)
    old = standing(history[len(new) :], past=BESIDE)
    if not old or policy.rollback is Rollback.OFF or not policy.watch:
        return None
    begun, before = new[-1], old[0]
    if begun.kind is not EntryKind.PROMOTE or not begun.route or not before.route:
        return None
    until_ms = min(begun.at_ms, now_ms) + round(policy.watch_minutes * _MINUTE_MS)
    if now_ms >= until_ms or begun.digest == before.digest:
        return None
    return Watch(
        head=new[0],
        new=_stint(new),
        old=_stint(old),
        versions=f"{begun.model} v{begun.route.version} after v{before.route.version}",
        policy=policy,
        until_ms=until_ms,
    )


def arm_watch_of(history: Sequence[Entry], policy: Policy, *, now_ms: int) -> Watch | None:
    """The watch over a split's arm, as long as it is on; a shadow's answers nobody gets."""
    if not history or policy.rollback is Rollback.OFF or not policy.watch:
        return None
    head, arm = history[0], history[0].arm
    if head.route is None or arm is None or arm.role is not Role.SPLIT or now_ms >= arm.until_ms:
        return None
    return Watch(
        head=head,
        new=_stint([head], arm),
        old=_stint(standing(history, past=BESIDE)),
        versions=f"{head.model} v{arm.version} beside v{head.route.version}",
        policy=policy,
        until_ms=arm.until_ms,
        least=LEAST_KNOWN,
        meanwhile=_stint([head]),
    )


def find(
    watch: Watch, counts: Counts, reference: Reference, meanwhile: Counts | None = None
) -> Finding:
    """Hold a version's counts against its measure, and against what happened meanwhile."""
    bounds = bounds_of(watch.policy.watch)
    pairs = _pairs(counts, reference.counts)
    shared = _pairs(counts, meanwhile) if meanwhile else {}
    is_known = reference.counts.requests >= watch.least
    reasons = [
        _told(symptom, new, old, reference, "beside" if watch.of_arm else "before")
        for symptom, (new, old) in pairs.items()
        if is_known and symptom in bounds and has_grown(new, old, false_alarms=bounds[symptom])
        if symptom not in shared or _is_more(*shared[symptom])
    ]
    told = f"{watch.versions}: {'; '.join(reasons)}" if reasons else ""
    return Finding(watch, counts, reference, told)


def bounds_of(asked: Collection[Symptom]) -> Mapping[Symptom, float]:
    """How often each of what is watched may be found falsely; together FALSE_ALARMS."""
    parts = {symptom: PARTS[symptom] for symptom in asked}
    return {symptom: FALSE_ALARMS * part / sum(parts.values()) for symptom, part in parts.items()}


def _pairs(counts: Counts, old: Counts) -> Mapping[Symptom, tuple[Share, Share]]:
    """What is compared, new and old; what the old one never had is no measure."""
    pairs = {
        Symptom.ERRORS: (counts.failed, old.failed),
        Symptom.LATENCY: (counts.late, old.late),
        Symptom.CONFIDENCE: (counts.doubtful, old.doubtful),
    }
    return {symptom: pair for symptom, pair in pairs.items() if pair[1].of}


def _is_more(new: Share, meanwhile: Share) -> bool:
    return new.value >= LEAST_RATIO * meanwhile.value


def _told(symptom: Symptom, new: Share, old: Share, reference: Reference, than: str) -> str:
    """Why, in the words of the ledger's entry."""
    slow = f"{reference.slow_ms or 0:.3g} ms"
    what = {
        Symptom.ERRORS: "requests failed",
        Symptom.LATENCY: f"answers took longer than {slow}",
        Symptom.CONFIDENCE: f"answers had a confidence below {UNSURE_BELOW:.0%}",
    }[symptom]
    return f"{new} {what}, {than} {old}"


def _stint(entries: Sequence[Entry], arm: Route | None = None) -> Stint:
    """What these entries, one after the other, newest first, have answered by one of their arms."""
    newest, oldest = entries[0], entries[-1]
    return Stint(
        model=newest.model,
        epoch=newest.key.epoch,
        first=oldest.key.seq,
        last=newest.key.seq,
        since=oldest.at_ms / 1000 - _SKEW_SECONDS,
        arm=(arm.role if arm else Role.SERVE).value,
    )
