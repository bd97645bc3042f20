"""What the nodes say of a head that they should serve: who refuses it, and why.

Pure; from the rows that watchers write (`models` → `version`, `seq`, `refused`, `refused_seq`).
Called by the registrar, which goes back when every node refuses, and by `status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.ledger import Entry

LIVE_MS = 30_000


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


def refusals_of(head: Entry, statuses: Mapping[str, Mapping[str, Any]], *, now_ms: int) -> Refusals:
    """Who refuses `head`, of the nodes that serve its model and were heard from lately.

    A node that does not name the model has other models to serve and is not asked. What a node
    refused before is no refusal of this head: `refused_seq` must be its key. It is set by
    a verdict on the version; a store that does not answer is no refusal.
    """
    held = {
        node: body["models"][head.model]
        for node, body in statuses.items()
        if abs(now_ms - body["at_ms"]) <= LIVE_MS and head.model in body.get("models", {})
    }
    reasons = {
        node: str(said.get("refused") or "no reason given")
        for node, said in held.items()
        if said.get("refused_seq") == str(head.key)
    }
    return Refusals(reasons, len(held))
