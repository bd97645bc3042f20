"""Putting a second version (an arm) beside the one that serves, and taking it away.

A split lets it answer a share of requests, a shadow a share of copies whose answers nobody gets.
Each is one entry, appended if the head is still the one it was judged against; so is its end. What
serves stays what it is, and so do MLflow's stages. Called by the commands and the registrar.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from registry.beside import checked_sticky, described
from registry.errors import GatesRefused, NothingToServe, Refused, UsageError
from registry.ledger import Door, Draft, Entry, EntryKind, Role, Route
from registry.model_version import ModelVersion, Stage
from registry.promotion import Judged, Ports, claim, is_version, judge_version, publish
from registry.report import PromotionReport

MAX_HOURS: Final = 720.0
OVER: Final = "its deadline passed"
# What says that nodes can load a version and that it answers: a shadow needs no more.
LOADABLE: Final = frozenset({"complete", "packaged", "servable", "golden"})
_ANSWERS_NOBODY: Final = "a shadow answers nobody: that it loads and answers is enough"
_KINDS: Final = {Role.SHADOW: EntryKind.SHADOW, Role.SPLIT: EntryKind.SPLIT}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked for; UsageError where it cannot be.

    `percent` of requests, above 0 and up to 100; `hours` until it ends, above 0 and up to
    MAX_HOURS; requests with the same `sticky` header (`header:NAME`) come to the same version,
    without one each is drawn by itself.
    """

    role: Role
    percent: float
    hours: float = 24.0
    sticky: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise UsageError(f"--percent: expected above 0 and up to 100, got {self.percent:g}")
        if not 0 < self.hours <= MAX_HOURS:
            raise UsageError(f"--hours: expected above 0 and up to {MAX_HOURS:g}, got {self.hours}")
        checked_sticky(self.sticky)


@dataclass(frozen=True)
class Begun:
    """How the version was judged, and the entry."""

    report: PromotionReport
    entry: Entry


def begin(ports: Ports, version: ModelVersion, plan: Plan, *, actor: str) -> Begun:
    """Judge `version` and put it beside what serves, as `plan` says.

    What answers people passes every gate, as a promotion does; a shadow only those in LOADABLE.
    Raises GatesRefused with the report, NothingToServe if nothing serves, Refused if something is
    beside it already or `version` serves, LostRace if the head moved meanwhile.
    """
    claim(ports, version.name)
    head = ports.ledger.head(version.name)
    serving = _serving(head, version)
    judged = _judged(ports, version, head, plan.role, actor=actor)
    if plan.role is Role.SPLIT:
        number = publish(ports, version, judged.report)
    else:  # its promotion is another question, whose answer stays on the version
        number = ports.ledger.record_report(judged.report.to_json())
    if not judged.report.passed:
        raise GatesRefused(f"{version}: {judged.report.reason}", judged.report)
    now_ms = ports.now_ms()
    arm = dataclasses.replace(
        judged.route,
        role=plan.role,
        weight=plan.percent / 100,
        sticky=plan.sticky,
        until_ms=now_ms + round(plan.hours * 3_600_000),
    )
    draft = Draft(
        model=version.name,
        kind=_KINDS[plan.role],
        routes=(serving, arm),
        actor=actor,
        door=Door.COMMAND,
        reason=f"v{arm.version} beside v{serving.version}: {described(arm)}",
        report=number,
    )
    return Begun(judged.report, ports.ledger.append(draft, expected=head, at_ms=now_ms))


def stop(ports: Ports, model: str, *, actor: str, reason: str = "") -> Entry:
    """End the shadow or split of a model; what serves goes on serving, all requests.

    Raises NothingToServe if there is none, LostRace if it was ended meanwhile.
    """
    claim(ports, model)
    head = ports.ledger.head(model)
    if head is None or head.arm is None:
        raise NothingToServe(f"{model}: no shadow and no split is on, so there is nothing to stop")
    said = reason or f"{head.arm.role} of v{head.arm.version} stopped"
    return end(ports, head, actor=actor, door=Door.COMMAND, reason=said)


def end(ports: Ports, head: Entry, *, actor: str, door: Door, reason: str) -> Entry:
    """Append the end of the arm of `head`, or raise LostRace; no registry is asked."""
    draft = Draft(
        model=head.model,
        kind=EntryKind.STOP,
        routes=tuple(route for route in head.routes if route.role is Role.SERVE),
        actor=actor,
        door=door,
        reason=reason,
    )
    return ports.ledger.append(draft, expected=head, at_ms=ports.now_ms())


def _serving(head: Entry | None, version: ModelVersion) -> Route:
    """What serves, and can have `version` beside it."""
    model = version.name
    if head is None:
        raise NothingToServe(f"{model}: nothing is in Production to be beside; promote one first")
    if head.route is None:
        raise NothingToServe(f"{model}: it is retired, since seq {head.key}; promote one first")
    if head.arm:
        raise Refused(
            f"{model}: v{head.arm.version} is beside v{head.route.version} already "
            f"({described(head.arm)}); `python -m registry stop {model}` first"
        )
    if is_version(head.route, version):
        raise Refused(f"{version}: it serves already; name the version to be beside it")
    return head.route


def _judged(
    ports: Ports, version: ModelVersion, head: Entry | None, role: Role, *, actor: str
) -> Judged:
    """As a promotion is judged; of a shadow, gates beyond LOADABLE are told but do not decide."""
    judged = judge_version(
        ports, version, head, actor=actor, door=Door.COMMAND, stage=Stage.PRODUCTION
    )
    failures = {result.gate for result in judged.report.failures}
    lenient = role is Role.SHADOW and failures and not failures & LOADABLE
    report = dataclasses.replace(
        judged.report, stage=role.value, forced=_ANSWERS_NOBODY if lenient else ""
    )
    return dataclasses.replace(judged, report=report)
