"""How a model stands: the ledger's head held against what MLflow shows, and what to do about it.

One function decides; the commands that look and the registrar call it, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from registry.client import RegistryClient
from registry.errors import UnknownName
from registry.ledger import Entry, Snapshot


class State(StrEnum):
    """Where ledger and MLflow stand to each other; what serves is the ledger's head in each."""

    OK = "ok"
    PENDING = "pending"
    ORPHANED = "orphaned"
    DEGRADED = "degraded"
    RETIRED = "retired"


# What a person can do; empty where nothing needs to be done.
ADVICE = {
    State.OK: "",
    State.PENDING: "the registrar is about to bring MLflow and the ledger together; if it lasts, "
    "see that one runs",
    State.ORPHANED: "deleted in MLflow, served from the nodes' own stores: promote another "
    "version, or retire the model",
    State.DEGRADED: "taken out of Production by hand, goes on serving: promote or click it again, "
    "promote another, or retire the model",
    State.RETIRED: "",
}


def seen(client: RegistryClient, model: str) -> tuple[Snapshot, frozenset[tuple[int, int]]]:
    """How MLflow shows a model, which may be gone, and which versions it has."""
    try:
        shown = client.snapshot(model)
    except UnknownName:
        shown = Snapshot({}, None)
    return shown, frozenset((v.version, v.created_ms) for v in client.versions(model))


def state_of(
    head: Entry, shown: Snapshot | None, versions: Collection[tuple[int, int]] | None
) -> State:
    """How the model of `head` stands.

    `shown` is how MLflow looks and `versions` are its (number, creation time) pairs; both None if
    MLflow cannot be asked: then what it showed last counts.
    """
    route = head.route
    if head.snapshot is None:
        return State.PENDING
    now = head.snapshot if shown is None else shown
    if route is None:
        return State.PENDING if now.production else State.RETIRED
    if versions is not None and (route.version, route.created_ms) not in versions:
        return State.ORPHANED
    if route.version in now.production:
        return State.OK if now.production == {route.version} else State.PENDING
    return State.PENDING if now.production - head.snapshot.production else State.DEGRADED
