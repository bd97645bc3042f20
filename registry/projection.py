"""Showing the ledger's head in MLflow: stage, every other Production version archived, alias, tags.

MLflow is a picture of the ledger, drawn by whoever holds the lease: two at once would leave two
Production versions. Repeatable: a crash in the middle leaves the entry pending, and the next
projection draws it again. An entry that repeats what serves moves no stage: MLflow showed that
already, and what was changed there since is for the registrar to judge. Called by the registrar,
and by commands when none is running.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from registry.beside import ARM_TAG, REPEATS, described, standing
from registry.errors import LeaseLost, UnknownName, Unreachable
from registry.fence import fenced
from registry.lease import Lease
from registry.ledger import Entry, Route, Snapshot
from registry.model_version import Stage
from registry.promotion import Ports, is_version, tag_promoted

_log = logging.getLogger(__name__)


def project(ports: Ports, model: str) -> Entry | None:
    """Draw the head of `model`, again until it does not move meanwhile; returns what is drawn."""
    while (head := ports.ledger.head(model)) is not None and head.snapshot is None:
        ports.ledger.mark_synced(head, _draw(ports, head))
    return head


def restore(ports: Ports, model: str, before: Snapshot) -> None:
    """Undo what was done by hand to Production: its stage and alias as `before` shows them.

    What was put into Production leaves last, the newest move at the very end: a crash before that
    leaves the change to be seen, and refused, once more. Other stages are people's own business.
    """
    now = ports.client.snapshot(model)
    versions = sorted(ports.client.versions(model), key=lambda v: v.updated_ms)
    for version in versions:
        if version.version in before.production - now.production:
            ports.client.set_stage(version, Stage.PRODUCTION, archive_others=False)
    if now.alias != before.alias:
        ports.client.set_alias(model, before.alias)
    for version in versions:
        if version.version in now.production - before.production:
            was = Stage(before.stages.get(version.version, Stage.NONE))
            ports.client.set_stage(version, was, archive_others=False)


def settle(
    ports: Ports,
    entry: Entry,
    *,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> bool:
    """See that `entry` is shown in MLflow: draw it, or wait for the registrar that does.

    Returns False if neither happened within `seconds`, MLflow being out of reach for instance; the
    entry stays pending and counts all the same, since nodes go by the ledger.
    """
    lease = Lease(ports.ledger, monotonic=monotonic)
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        if lease.acquire():
            with lease.kept():
                try:
                    project(fenced(ports, lease), entry.model)
                except (Unreachable, LeaseLost) as error:
                    _log.warning("%s cannot be shown yet: %s", entry.model, error)
        head = ports.ledger.head(entry.model)
        if head is None or head.revision != entry.revision or head.snapshot is not None:
            return True
        sleep(0.05)
    return False


def _draw(ports: Ports, entry: Entry) -> Snapshot:
    """Make MLflow show `entry`; returns how MLflow looks by our own hand alone."""
    came = _came(ports, entry)
    shown = next((one.snapshot for one in came if one.snapshot), None)
    if shown is None:
        shown = _show(ports, came[-1], entry.route) if entry.route else _erase(ports, entry.model)
    _tell_arm(ports, entry)
    return shown


def _came(ports: Ports, entry: Entry) -> Sequence[Entry]:
    """An entry and those it repeats, newest first; the last is whose tags the version gets."""
    if entry.kind not in REPEATS:
        return [entry]
    return standing([one for one in ports.ledger.history(entry.model) if one.key <= entry.key])


def _tell_arm(ports: Ports, entry: Entry) -> None:
    """Tag the version that is beside what serves, and no other."""
    arm = entry.arm
    for version in ports.client.versions(entry.model):
        said = described(arm) if arm and is_version(arm, version) else None
        if version.tags.get(ARM_TAG) != said:
            with suppress(UnknownName):  # deleted meanwhile
                ports.client.tag(version, {ARM_TAG: said})


def _show(ports: Ports, entry: Entry, route: Route) -> Snapshot:
    """Production is `route`. A head deleted in MLflow cannot be shown: all stays as it is."""
    number = route.version
    try:
        version = ports.client.version(entry.model, number)
        before = ports.client.snapshot(entry.model)
        if not is_version(route, version):
            return before
        ports.client.set_stage(version, Stage.PRODUCTION, archive_others=True)
        ports.client.set_alias(entry.model, number)
        tag_promoted(ports, version, stage=Stage.PRODUCTION, actor=entry.actor, at_ms=entry.at_ms)
        return _drawn(before, number)
    except UnknownName:
        _log.warning("%s v%s was deleted in MLflow; it goes on serving", entry.model, number)
        return _what_is_left(ports, entry.model)


def _erase(ports: Ports, model: str) -> Snapshot:
    """Nothing is Production: each such version archived, the alias taken away."""
    try:
        before = ports.client.snapshot(model)
        for version in ports.client.versions(model):
            if version.version in before.production:
                with suppress(UnknownName):  # deleted meanwhile: not in Production either
                    ports.client.set_stage(version, Stage.ARCHIVED, archive_others=False)
        if before.alias is not None:
            ports.client.set_alias(model, None)
    except UnknownName:
        _log.warning("%s was deleted in MLflow; it is retired all the same", model)
        return _what_is_left(ports, model)
    archived = dict.fromkeys(before.production, Stage.ARCHIVED.value)
    return Snapshot({**before.stages, **archived}, None)


def _drawn(before: Snapshot, number: int) -> Snapshot:
    """How MLflow looks by our own hand alone: read back, a click meanwhile would pass for ours."""
    archived = dict.fromkeys(before.production, Stage.ARCHIVED.value)
    return Snapshot({**before.stages, **archived, number: Stage.PRODUCTION.value}, number)


def _what_is_left(ports: Ports, model: str) -> Snapshot:
    """How MLflow shows a model that may be gone."""
    try:
        return ports.client.snapshot(model)
    except UnknownName:
        return Snapshot({}, None)
