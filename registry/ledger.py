"""The ledger: one order for every change of Production.

An `Entry` says what serves a model from `(epoch, seq)` on, by whom, through which door and why.
Entries are only ever appended, each carrying the hash of the one before; a model's newest entry is
its head. `Ledger` is the port; `SqlLedger` keeps it in sqlite or PostgreSQL. Called by promotion,
the registrar and the commands (who write) and by the watcher (who reads heads, and writes only its
own node status).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, Self

from registry.bundle import Manifest
from registry.model_version import Stage


class EntryKind(StrEnum):
    """What an entry does; after RETIRE nothing serves, and it has no routes.

    SHADOW and SPLIT put a second version beside the one that serves, STOP takes it away again.
    RESTORE says again, in a new epoch, what the entry before it said when a backup was made of it.
    """

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    RETIRE = "retire"
    SHADOW = "shadow"
    SPLIT = "split"
    STOP = "stop"
    RESTORE = "restore"


class Role(StrEnum):
    """What a route is for: to answer, to answer a share of requests, or a share of copies."""

    SERVE = "serve"
    SPLIT = "split"
    SHADOW = "shadow"


class Door(StrEnum):
    """Where a change came from."""

    COMMAND = "command"
    MLFLOW = "mlflow"
    REGISTRAR = "registrar"
    WATCH = "watch"
    FOLLOWING = "following"


@dataclass(frozen=True, order=True)
class Key:
    """Where an entry stands in its model's order; a later key is never followed by an earlier."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        """As shown to people: `1.7`."""
        return f"{self.epoch}.{self.seq}"


class Position(NamedTuple):
    """How far a reader has come in the whole ledger. A restored one counts revisions anew."""

    epoch: int
    revision: int


BEGINNING: Final = Position(0, 0)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One version an entry sends requests to, and where nodes get its bytes.

    Of a route beside the one that serves, `weight` is its share of requests (0 to 1), `sticky` what
    requests are told apart by (`header:X-User-Id`; empty: each by itself), `until_ms` its deadline.
    """

    version: int
    created_ms: int
    digest: str
    source: str
    manifest: Manifest
    role: Role = Role.SERVE
    weight: float = 1.0
    ticker: str = ""
    sticky: str = ""
    until_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        """As kept in the ledger; without what it has not, as before there was any."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("ticker", "sticky", "until_ms"):
            if not fields[name]:
                del fields[name]
        return {**fields, "manifest": self.manifest.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(
            **{
                **data,
                "role": Role(data["role"]),
                "manifest": Manifest.from_json(data["manifest"]),
            }
        )


@dataclass(frozen=True)
class Snapshot:
    """How MLflow showed a model when an entry was projected: every stage set, and the alias."""

    stages: Mapping[int, str]
    alias: int | None

    @property
    def production(self) -> frozenset[int]:
        """The versions in stage Production; there may be several."""
        return frozenset(v for v, stage in self.stages.items() if stage == Stage.PRODUCTION)

    def to_json(self) -> dict[str, Any]:
        """As kept in the ledger."""
        return {"stages": {str(v): s for v, s in self.stages.items()}, "alias": self.alias}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls({int(v): s for v, s in data["stages"].items()}, data["alias"])


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An entry before it has its place in the order."""

    model: str
    kind: EntryKind
    routes: tuple[Route, ...]
    actor: str
    door: Door
    reason: str
    report: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry(Draft):
    """An entry in its place. `snapshot` is None until MLflow shows it (pending)."""

    key: Key
    revision: int
    at_ms: int
    previous_hash: str
    snapshot: Snapshot | None = None

    @property
    def route(self) -> Route | None:
        """The route that answers requests; None if the model is retired."""
        return next((route for route in self.routes if route.role is Role.SERVE), None)

    @property
    def arm(self) -> Route | None:
        """The route beside it, of a shadow or a split; None if there is none."""
        return next((route for route in self.routes if route.role is not Role.SERVE), None)

    @property
    def digest(self) -> str:
        """Digest of the bytes that answer requests; empty if the model is retired."""
        return self.route.digest if self.route else ""

    @property
    def position(self) -> Position:
        """Where a reader is who has read this entry and all before it."""
        return Position(self.key.epoch, self.revision)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) over everything that never changes, chained to the entry before."""
        fixed = {
            "model": self.model,
            "key": [self.key.epoch, self.key.seq],
            "kind": self.kind,
            "routes": [route.to_json() for route in self.routes],
            "actor": self.actor,
            "door": self.door,
            "reason": self.reason,
            "report": self.report,
            "at_ms": self.at_ms,
            "previous": self.previous_hash,
        }
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Turn:
    """Who holds a lease, by which of its renewals. Two reads that are equal: nobody renewed it."""

    holder: str
    number: int


class Ledger(Protocol):
    """What the rest of Baton needs of a ledger; every method may raise Unreachable."""

    @property
    def id(self) -> str:
        """Random id made with the ledger: the tag on every registered model it governs."""

    def head(self, model: str) -> Entry | None:
        """The newest entry of a model."""

    def heads(self, *, since: Position = BEGINNING) -> Sequence[Entry]:
        """Every head that a reader at `since` has not read, in one query.

        Of a ledger in another epoch that is every head: a backup was put in its place.
        """

    def history(self, model: str) -> Sequence[Entry]:
        """Every entry of a model, newest first."""

    def append(self, draft: Draft, *, expected: Entry | None, at_ms: int) -> Entry:
        """Append after `expected`, or raise LostRace if that is no longer the head."""

    def mark_synced(self, entry: Entry, snapshot: Snapshot) -> None:
        """Note that MLflow shows the entry, and how MLflow looked then."""

    def record_report(self, body: Mapping[str, Any]) -> str:
        """Keep a promotion report, passed or not; returns its id."""

    def lease(self, name: str) -> Turn | None:
        """Who holds a lease; None if nobody does."""

    def take_lease(self, name: str, *, holder: str, after: Turn | None) -> Turn | None:
        """Take or renew a lease that is still as `after` says; None if it no longer is."""

    def release_lease(self, name: str, *, holder: str) -> None:
        """Give a lease back; nothing happens if it is not held."""

    def write_status(self, node: str, body: Mapping[str, Any], *, at_ms: int) -> None:
        """Replace one node's row."""

    def statuses(self) -> Mapping[str, Mapping[str, Any]]:
        """What every node last said, by node name."""
