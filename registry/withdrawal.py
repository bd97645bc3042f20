"""How a version leaves Production: by a rollback to an earlier one, or by retiring the model.

Neither asks a quality gate. Each appends one entry if the head is still the one it looked at, and
leaves MLflow to `projection.py`. Called by the commands and the registrar.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from registry.errors import BundleInvalid, NothingToServe, UnknownName
from registry.ledger import Door, Draft, Entry, EntryKind, Route
from registry.promotion import Ports, claim, same_version

_log = logging.getLogger(__name__)


def rollback(
    ports: Ports,
    model: str,
    *,
    actor: str,
    to: int | None,
    reason: str = "",
    door: Door = Door.COMMAND,
    leaving: Entry | None = None,
) -> Entry:
    """Go back to the newest earlier version that was never rolled back from, or to version `to`.

    After `retire` that is what served before. One that was deleted in MLflow is passed over, with
    a `to` it is refused. Its bytes are checked against the manifest that served. With `leaving` it
    goes back only if that is still the head. Raises NothingToServe, UnknownName for a `to` that
    never served, BundleInvalid, LostRace.
    """
    claim(ports, model)
    history = _history(ports, model)
    head = history[0]
    versions = {(v.version, v.created_ms) for v in ports.client.versions(model)}
    target = _earlier(history, versions) if to is None else _served_before(history, model, to)
    if head.route and same_version(target, head.route):
        raise NothingToServe(f"{model}: v{target.version} serves already")
    if (target.version, target.created_ms) not in versions:
        raise BundleInvalid(
            f"{model} v{target.version}: deleted in MLflow since it served; its number, if it is "
            "there, was given to another"
        )
    with tempfile.TemporaryDirectory(prefix="baton-rollback-") as scratch:
        root = Path(scratch, "version")
        ports.client.fetch(target.source, root)
        target.manifest.verify(root)
    left = f"rolled back from v{head.route.version}" if head.route else "back after it was retired"
    draft = Draft(
        model=model,
        kind=EntryKind.ROLLBACK,
        routes=(target,),
        actor=actor,
        door=door,
        reason=reason or left,
    )
    return ports.ledger.append(draft, expected=leaving or head, at_ms=ports.now_ms())


def retire(ports: Ports, model: str, *, actor: str, reason: str = "") -> Entry:
    """Take Production away: from this entry on nothing serves, until a promotion or a rollback.

    Works for a model that was deleted in MLflow as well. Raises NothingToServe if nothing serves.
    """
    with suppress(UnknownName):  # the model may be gone; what serves of it can still be ended
        claim(ports, model)
    head = _history(ports, model)[0]
    if head.route is None:
        raise NothingToServe(f"{model}: it is retired already, since seq {head.key}")
    draft = Draft(
        model=model,
        kind=EntryKind.RETIRE,
        routes=(),
        actor=actor,
        door=Door.COMMAND,
        reason=reason or f"retired v{head.route.version}",
    )
    return ports.ledger.append(draft, expected=head, at_ms=ports.now_ms())


def _history(ports: Ports, model: str) -> Sequence[Entry]:
    history = ports.ledger.history(model)
    if not history:
        raise NothingToServe(
            f"{model}: nothing was ever promoted, so there is nothing to go back to or to retire"
        )
    return history


def _earlier(history: Sequence[Entry], versions: Collection[tuple[int, int]]) -> Route:
    """The newest earlier version that nobody rolled back from and that is still there."""
    bad = {history[0].digest}
    for entry, before in itertools.pairwise(history):
        if entry.kind is EntryKind.ROLLBACK:
            bad.add(before.digest)
    for entry in history[1:]:
        route = entry.route
        if not route or route.digest in bad:
            continue
        if (route.version, route.created_ms) in versions:
            return route
        _log.warning("%s v%s was deleted in MLflow: passed over", entry.model, route.version)
    raise NothingToServe(
        f"{history[0].model}: no earlier version to go back to that is still there and was not "
        "rolled back from; name one with --to VERSION"
    )


def _served_before(history: Sequence[Entry], model: str, to: int) -> Route:
    routes = [entry.route for entry in history if entry.route]
    for route in routes:
        if route.version == to:
            return route
    served = sorted({route.version for route in routes})
    raise UnknownName(f"version that served {model}", str(to), served)
