"""What the nodes say of a head that they should serve: who refuses it, and why.

From the rows that watchers write (`models` → `version`, `seq`, `refused`, `refused_seq`), each
with the time of its node's clock. Called by the registrar, which goes back when every node refuses
and therefore believes its own clock only (`Hearing`), and by `status`, which looks once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.ledger import Entry

LIVE_MS = 30_000
_WATCHED_SECONDS = 10.0  # a node writes its row every 5
# Whether the node with this row lives; None where that is not known yet.
Lives = Callable[[str, Mapping[str, Any]], bool | None]


@dataclass(frozen=True)
class Refusals:
    """Of one head: each node that refuses it with its reason, and how many nodes were asked."""

    reasons: Mapping[str, str]
    nodes: int

    @property
    def by_all(self) -> bool:
        """Whether no live node serves it or is still trying for the first time."""
        return bool(self.reasons) and len(self.reasons) == self.nodes

    def __str__(self) -> str:
        """In one line: `2 of 3 nodes refused it: a: why; b: why`."""
        each = "; ".join(f"{node}: {why}" for node, why in sorted(self.reasons.items()))
        return f"{len(self.reasons)} of {self.nodes} nodes refused it: {each}"


def refusals_of(
    head: Entry, statuses: Mapping[str, Mapping[str, Any]], *, lives: Lives
) -> Refusals:
    """Who refuses `head`, of the nodes that serve its model and live.

    A node that does not name the model has other models to serve and is not asked. What a node
    refused before is no refusal of this head: `refused_seq` must be its key. It is set by
    a verdict on the version; a store that does not answer is no refusal. Of a node that may be dead
    a refusal is not believed; that it does not refuse is.
    """
    reasons, nodes = {}, 0
    for node, body in statuses.items():
        said = body.get("models", {}).get(head.model)
        alive = lives(node, body)
        if said is None or alive is False:
            continue
        refuses = said.get("refused_seq") == str(head.key)
        if refuses and alive:
            reasons[node] = str(said.get("refused") or "no reason given")
        nodes += bool(alive) or not refuses
    return Refusals(reasons, nodes)


def by_clock(now_ms: int) -> Lives:
    """Believe the nodes' clocks, and ours: for who looks once and cannot wait."""
    return lambda _node, body: abs(now_ms - body["at_ms"]) <= LIVE_MS


class Hearing:
    """Who lives, by one's own clock: a node whose row changes, whatever time stands in it.

    Of a row that was not seen changing yet, the time in it says at most that its node lives; that
    it is dead is believed after watching it for two of its turns.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Nothing was heard yet; `monotonic` is in seconds."""
        self._monotonic = monotonic
        self._rows: dict[str, tuple[int, float]] = {}
        self._changed: dict[str, float] = {}

    def listen(self, statuses: Mapping[str, Mapping[str, Any]]) -> None:
        """Note which rows have changed since the last time."""
        now = self._monotonic()
        for node, body in statuses.items():
            at_ms, since = self._rows.get(node, (body["at_ms"], now))
            if at_ms != body["at_ms"]:
                self._changed[node] = now
            self._rows[node] = (body["at_ms"], since)

    def lives(self, now_ms: int) -> Lives:
        """As far as it is known by now."""
        now, fresh = self._monotonic(), by_clock(now_ms)

        def known(node: str, body: Mapping[str, Any]) -> bool | None:
            if node in self._changed:
                return now - self._changed[node] <= LIVE_MS / 1000
            if fresh(node, body):
                return True
            return None if now - self._rows[node][1] < _WATCHED_SECONDS else False

        return known
