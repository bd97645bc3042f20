"""What a new version is watched for after its promotion, and what follows. Pure.

The version before is the measure: a share of errors, of slow or of unsure answers that has grown is
found by `sequential.has_grown`, whose false alarms are bounded however often one looks. What is
watched shares the bound of FALSE_ALARMS; errors have two parts. Called by the sentry, beside the
registrar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry.ledger import Entry, EntryKind
from registry.policy import Policy, Rollback, Symptom
from registry.prediction_counts import UNSURE_BELOW, Counts, Reference
from registry.sequential import Share, has_grown

# Of promotions of a version that is no worse, at most so many are taken back. Half of what is
# promised: of a thousand windows, ten may come together by chance.
FALSE_ALARMS: Final = 0.005
PARTS: Final = {Symptom.ERRORS: 2, Symptom.LATENCY: 1, Symptom.CONFIDENCE: 1}
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True)
class Watch:
    """A head that is watched, the entry it is measured by, and what its policy says."""

    head: Entry
    before: Entry
    policy: Policy
    until_ms: int

    @property
    def versions(self) -> str:
        """As people read it: `iris v3 after v2`."""
        return f"{self.head.model} v{_version(self.head)} after v{_version(self.before)}"


@dataclass(frozen=True)
class Finding:
    """What a look has come to; `reason` is empty unless the new version is worse."""

    watch: Watch
    counts: Counts
    reference: Reference
    reason: str

    @property
    def known(self) -> bool:
        """Whether there was anything to compare."""
        return self.counts.requests > 0 and self.reference.counts.requests > 0

    @property
    def is_left(self) -> bool:
        """Whether the version is to be gone back from, and not only told of."""
        return bool(self.reason) and self.watch.policy.rollback is Rollback.AUTO


def watch_of(history: Sequence[Entry], policy: Policy, *, now_ms: int) -> Watch | None:
    """The watch over a model's head (`history`, newest first), if there is one at `now_ms`.

    A promotion is watched that put another version in the place of one. A rollback is not: nobody
    goes back from where they went back to. An entry of a clock that is ahead has just begun.
    """
    if len(history) < 2 or policy.rollback is Rollback.OFF or not policy.watch:
        return None
    head, before = history[0], history[1]
    if head.kind is not EntryKind.PROMOTE or not head.route or not before.route:
        return None
    until_ms = min(head.at_ms, now_ms) + round(policy.watch_minutes * _MINUTE_MS)
    if now_ms >= until_ms or head.digest == before.digest:
        return None
    return Watch(head, before, policy, until_ms)


def find(watch: Watch, counts: Counts, reference: Reference) -> Finding:
    """Hold a version's counts against those of the one before."""
    bounds = bounds_of(watch.policy.watch)
    reasons = [
        _told(symptom, new, old, reference)
        for symptom, (new, old) in _pairs(counts, reference).items()
        if symptom in bounds and has_grown(new, old, false_alarms=bounds[symptom])
    ]
    told = f"{watch.versions}: {'; '.join(reasons)}" if reasons else ""
    return Finding(watch, counts, reference, told)


def bounds_of(asked: Collection[Symptom]) -> Mapping[Symptom, float]:
    """How often each of what is watched may be found falsely; together FALSE_ALARMS."""
    parts = {symptom: PARTS[symptom] for symptom in asked}
    return {symptom: FALSE_ALARMS * part / sum(parts.values()) for symptom, part in parts.items()}


def _pairs(counts: Counts, reference: Reference) -> Mapping[Symptom, tuple[Share, Share]]:
    """What is compared, new and old; what the version before never had is no measure."""
    old = reference.counts
    pairs = {
        Symptom.ERRORS: (counts.failed, old.failed),
        Symptom.LATENCY: (counts.late, old.late),
        Symptom.CONFIDENCE: (counts.doubtful, old.doubtful),
    }
    return {symptom: pair for symptom, pair in pairs.items() if pair[1].of}


def _told(symptom: Symptom, new: Share, old: Share, reference: Reference) -> str:
    """Why, in the words of the ledger's entry."""
    slow = f"{reference.slow_ms or 0:.3g} ms"
    what = {
        Symptom.ERRORS: "requests failed",
        Symptom.LATENCY: f"answers took longer than {slow}",
        Symptom.CONFIDENCE: f"answers had a confidence below {UNSURE_BELOW:.0%}",
    }[symptom]
    return f"{new} {what}, before {old}"


def _version(entry: Entry) -> int | None:
    return entry.route.version if entry.route else None
