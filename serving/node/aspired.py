"""What a node should serve of one model, and by whose word: the ledger's, or the node's settings.

Made by the places a watcher looks at (`heads.py`, `follower.py`, `directory.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from registry.ledger import Entry, Key, Route
from serving.assignments import Arm, Assignment


@dataclass(frozen=True, kw_only=True)
class Aspired:
    """One model's aspired version; no route means that nothing of it should be served.

    `arm` is the route beside it, of a split or a shadow.
    """

    model: str
    key: Key
    at_ms: int
    route: Route | None
    arm: Route | None = None

    @classmethod
    def of(cls, entry: Entry) -> Aspired:
        """What an entry of the ledger asks for."""
        return cls(
            model=entry.model,
            key=entry.key,
            at_ms=entry.at_ms,
            route=entry.route,
            arm=entry.arm,
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        """All that it takes: what should serve, then what should be beside it."""
        return tuple(one for one in (self.route, self.arm) if one)

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each of `routes`."""
        return tuple(one.digest for one in self.routes)

    @property
    def digest(self) -> str:
        """Digest of the bytes that should serve; empty if none should."""
        return self.route.digest if self.route else ""

    @property
    def assignment(self) -> Assignment | None:
        """As workers are told of it."""
        if self.route is None:
            return None
        return Assignment(
            model=self.model,
            version=self.route.version,
            digest=self.route.digest,
            key=self.key,
            since_ms=self.at_ms,
            ticker=self.route.ticker,
            arm=self._arm(self.arm) if self.arm else None,
        )

    def _arm(self, route: Route) -> Arm:
        return Arm(
            model=self.model,
            version=route.version,
            digest=route.digest,
            key=self.key,
            since_ms=self.at_ms,
            ticker=route.ticker,
            role=route.role,
            share=route.weight,
            sticky=route.sticky,
            until_ms=route.until_ms,
        )


class Outlook(Protocol):
    """A place a watcher looks at."""

    @property
    def expected(self) -> Collection[str]:
        """Models that are meant to be served from there, known before anything is."""

    def news(self) -> Iterable[Aspired]:
        """What changed since the last look. Raises Unreachable."""
