"""What a node does next about one model: a pure function, with nothing to patch in its tests.

Newest wins; never back to a lower key; a version that failed is not tried again before its time; a
version that is loaded, or on its way, is not loaded again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from registry.ledger import Key, Route
from serving.assignments import Held
from serving.node.aspired import Aspired

_FIRST_BACKOFF_SECONDS = 2.0
_LAST_BACKOFF_SECONDS = 300.0
# Of promotions one after the other a few are loaded, then one a second: what is newest by then.
LOADS_AT_ONCE = 3
_LOADS_SECONDS = 3.0


class Action(Enum):
    """What to do."""

    NOTHING = auto()
    LOAD = auto()
    FLIP = auto()
    RETIRE = auto()
    WAIT = auto()


@dataclass(frozen=True)
class Refusal:
    """Why a digest is not served, and from when on it may be tried again (seconds, same clock)."""

    reason: str
    retry_at: float
    attempts: int = 1


@dataclass(frozen=True)
class Snapshot:
    """What a node knows of one model; `damaged` are digests in use that the store lost.

    `loads` is when its last `LOADS_AT_ONCE` loads began, oldest first.
    """

    held: Held
    loading: str | None = None
    ready: frozenset[str] = frozenset()
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    damaged: frozenset[str] = frozenset()
    loads: tuple[float, ...] = ()


def next_action(snapshot: Snapshot, aspired: Aspired | None, now: float) -> Action:
    """Decide. `ready` are digests in the store that passed their trial on this node."""
    held = snapshot.held
    newer = aspired is not None and (held.key is None or _follows(aspired.key, held.key))
    if aspired is None or not (newer or _is_damaged(snapshot, aspired)):
        return Action.NOTHING
    if aspired.route is None:
        return Action.RETIRE
    refusals = [snapshot.refusals[one] for one in aspired.digests if one in snapshot.refusals]
    if any(now < refusal.retry_at for refusal in refusals):
        return Action.WAIT
    missing = [route.digest for route in lacking(snapshot, aspired)]
    if not missing:
        return Action.FLIP
    if snapshot.loading in missing:
        return Action.NOTHING
    return Action.WAIT if _too_many(snapshot.loads, now) else Action.LOAD


def lacking(snapshot: Snapshot, aspired: Aspired) -> Sequence[Route]:
    """The routes whose versions have to be brought first: neither in use nor ready, or damaged."""
    if _is_damaged(snapshot, aspired):
        return [one for one in aspired.routes if one.digest in snapshot.damaged]
    used = (snapshot.held.current, snapshot.held.previous)
    here = {version.digest for one in used if one for version in one.versions} | snapshot.ready
    return [one for one in aspired.routes if one.digest not in here]


def _is_damaged(snapshot: Snapshot, aspired: Aspired) -> bool:
    """Whether it serves, and cannot be loaded again."""
    serves = aspired.assignment is not None and aspired.assignment == snapshot.held.current
    return serves and not snapshot.damaged.isdisjoint(aspired.digests)


def _too_many(loads: tuple[float, ...], now: float) -> bool:
    return len(loads) >= LOADS_AT_ONCE and now < loads[0] + _LOADS_SECONDS


def _follows(key: Key, held: Key) -> bool:
    """Whether `key` comes after: a node that is told to pin a version leaves the ledger's order."""
    return key > held or (key.epoch == 0 and held.epoch > 0)


def refuse(before: Refusal | None, reason: str, now: float, jitter: float) -> Refusal:
    """The next refusal of a digest: the wait doubles, spread by `jitter` in [0, 1)."""
    attempts = before.attempts + 1 if before else 1
    doublings = min(attempts - 1, 30)  # a head that is refused for weeks must not overflow
    wait = min(_FIRST_BACKOFF_SECONDS * 2**doublings, _LAST_BACKOFF_SECONDS)
    return Refusal(reason, now + wait * (1 + jitter / 2), attempts)
