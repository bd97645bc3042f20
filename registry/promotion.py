"""How Production changes: promote, roll back, adopt. No I/O but through the ports handed in.

Each of them judges without any lock, appends one entry if the head is still the one it judged
against, and leaves MLflow to `projection.py`. Each can be run again after a crash at any point.
Called by the commands and the registrar.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from registry.bundle import Bundle, Manifest
from registry.client import RegistryClient
from registry.errors import (
    BundleInvalid,
    ForeignLedger,
    GatesRefused,
    NothingToServe,
    Refused,
    UnknownName,
)
from registry.gates import Candidate, Current, judge
from registry.ledger import Door, Draft, Entry, EntryKind, Ledger, Route
from registry.model_version import ModelVersion, Stage
from registry.policy import Adoption, GatesFile
from registry.report import PromotionReport
from registry.trial import Trial, TrialReport

LEDGER_TAG = "baton.ledger"
KIND_TAG = "baton.kind"
REJECTED_TAG = "baton.rejected"
MAX_TAG = 4000


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything a change of Production touches. `now_ms` is a clock in Unix milliseconds."""

    client: RegistryClient
    ledger: Ledger
    trial: Trial
    gates: GatesFile
    now_ms: Callable[[], int]


@dataclass(frozen=True)
class Judged:
    """A report, and the route that an entry would carry."""

    report: PromotionReport
    route: Route


@dataclass(frozen=True)
class Promoted:
    """How a promotion ended: the entry is None for any stage but Production."""

    report: PromotionReport
    entry: Entry | None


def promote(
    ports: Ports,
    version: ModelVersion,
    *,
    actor: str,
    door: Door = Door.COMMAND,
    stage: Stage = Stage.PRODUCTION,
) -> Promoted:
    """Judge `version` and, if the gates pass, make it what serves.

    Raises GatesRefused with the report's reason (Production untouched), LostRace if the head moved
    meanwhile. Promoting what already serves judges it again, and appends nothing unless it was
    taken out of Production by hand since.
    """
    claim(ports, version.name)
    head = ports.ledger.head(version.name)
    if stage is not Stage.PRODUCTION and head and is_version(head.route, version):
        raise Refused(f"{version}: it is in Production; promote another version first")
    judged = judge_version(ports, version, head, actor=actor, door=door, stage=stage)
    number = publish(ports, version, judged.report)
    if not judged.report.passed:
        raise GatesRefused(f"{version}: {judged.report.reason}", judged.report)
    if stage is not Stage.PRODUCTION:
        ports.client.set_stage(version, stage, archive_others=False)
        tag_promoted(ports, version, stage=stage, actor=actor, at_ms=judged.report.at_ms)
        return Promoted(judged.report, None)
    if head and same_version(head.route, judged.route) and _shown(ports, head):
        return Promoted(judged.report, head)
    draft = Draft(
        model=version.name,
        kind=EntryKind.PROMOTE,
        routes=(judged.route,),
        actor=actor,
        door=door,
        reason=f"{version} passed its gates",
        report=number,
    )
    return Promoted(judged.report, ports.ledger.append(draft, expected=head, at_ms=ports.now_ms()))


def rollback(ports: Ports, model: str, *, actor: str, to: int | None, reason: str = "") -> Entry:
    """Go back to the newest earlier version that was never rolled back from, or to version `to`.

    No quality gates: it served before. Its bytes are checked against the manifest that served.
    Raises NothingToServe, UnknownName for a `to` that never served, BundleInvalid.
    """
    claim(ports, model)
    history = list(ports.ledger.history(model))
    if not history:
        raise NothingToServe(
            f"{model}: nothing was ever promoted, so there is nothing to go back to"
        )
    target = _earlier(history) if to is None else _served_before(history, model, to)
    if same_version(target, history[0].route):
        raise NothingToServe(f"{model}: v{target.version} serves already")
    version = ports.client.version(model, target.version)
    if not is_version(target, version):
        raise BundleInvalid(f"{version}: deleted since it served, its number was given to another")
    with tempfile.TemporaryDirectory(prefix="baton-rollback-") as scratch:
        ports.client.download(version, Path(scratch))
        target.manifest.verify(Path(scratch))
    draft = Draft(
        model=model,
        kind=EntryKind.ROLLBACK,
        routes=(target,),
        actor=actor,
        door=Door.COMMAND,
        reason=reason or f"rolled back from v{history[0].route.version}",
    )
    return ports.ledger.append(draft, expected=history[0], at_ms=ports.now_ms())


def judge_version(
    ports: Ports,
    version: ModelVersion,
    head: Entry | None,
    *,
    actor: str,
    door: Door,
    stage: Stage,
) -> Judged:
    """Fetch, hash, try and judge a version, holding no lock and changing nothing."""
    policy = ports.gates.of(version.name)
    with tempfile.TemporaryDirectory(prefix="baton-judge-") as scratch:
        root = Path(scratch)
        manifest, trial, bundle, problem = _examine(ports, version, root)
        found = bundle.evaluation.metrics if bundle and bundle.evaluation else None
        candidate = Candidate(
            digest=manifest.digest,
            trial=trial,
            now_ms=ports.now_ms(),
            bundle=bundle,
            problem=problem,
            metrics=ports.client.run_metrics(version) if found is None else found,
        )
        results = judge(candidate, _current(ports, head), policy)
    trusted = policy.adoption is Adoption.TRUST and door is Door.MLFLOW and trial.ok
    report = PromotionReport(
        model=version.name,
        version=version.version,
        digest=manifest.digest,
        current=head.route.version if head else None,
        results=results,
        gates_digest=ports.gates.digest,
        actor=actor,
        door=door.value,
        stage=stage.value,
        at_ms=candidate.now_ms,
        forced="the model's policy is trust" if trusted else "",
    )
    if bundle and bundle.golden is None:
        manifest = dataclasses.replace(manifest, kind=bundle.kind, golden=trial.golden)
    route = Route(
        version=version.version,
        created_ms=version.created_ms,
        digest=manifest.digest,
        source=ports.client.source(version),
        manifest=manifest,
    )
    return Judged(report, route)


def publish(ports: Ports, version: ModelVersion, report: PromotionReport) -> str:
    """Keep a report in the ledger, on the run, and as tags on the version; returns its id."""
    number = ports.ledger.record_report(report.to_json())
    files = {
        "report.json": json.dumps(report.to_json(), indent=2),
        "report.md": report.to_markdown(),
    }
    folder = f"baton/{version.name}/v{version.version}"
    ports.client.log_report(version, files, folder)
    tags: dict[str, str | None] = {
        "baton.gates": "passed" if report.passed else "refused",
        "baton.report": number,
        "baton.digest": report.digest,
        REJECTED_TAG: None if report.passed else report.reason[:MAX_TAG],
    }
    ports.client.tag(version, tags)
    return number


def claim(ports: Ports, model: str) -> None:
    """Put the ledger's id on the registered model, or refuse another ledger's model."""
    owner = ports.client.model_tag(model, LEDGER_TAG)
    if owner is None:
        ports.client.tag_model(model, LEDGER_TAG, ports.ledger.id)
    elif owner != ports.ledger.id:
        raise ForeignLedger(
            f"{model}: its history is kept in ledger {owner}, and BATON_LEDGER_URL points to "
            f"ledger {ports.ledger.id}: set it to the first one; a second history is not started"
        )


def tag_promoted(
    ports: Ports, version: ModelVersion, *, stage: Stage, actor: str, at_ms: int
) -> None:
    """The tags people look for on a version in MLflow."""
    when = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    at = when.isoformat(timespec="seconds")
    tags = {"promoted_to": stage.value, "promoted_at": at, "promoted_by": actor}
    ports.client.tag(version, tags)


def same_version(one: Route, other: Route) -> bool:
    """Whether two routes mean the same version: number, creation time and bytes."""
    return (one.version, one.created_ms, one.digest) == (
        other.version,
        other.created_ms,
        other.digest,
    )


def _shown(ports: Ports, head: Entry) -> bool:
    """Whether MLflow shows `head`, or will once its projection is done."""
    if head.snapshot is None:
        return True
    return head.route.version in ports.client.snapshot(head.model).production


def is_version(route: Route, version: ModelVersion) -> bool:
    """Whether a route means this version, and not another one that was given its number."""
    return (route.version, route.created_ms) == (version.version, version.created_ms)


def _examine(
    ports: Ports, version: ModelVersion, root: Path
) -> tuple[Manifest, TrialReport, Bundle | None, str]:
    """Download, hash and try a version; what is wrong with it comes back as text."""
    manifest, kind = Manifest({}), version.tags.get(KIND_TAG)
    try:
        ports.client.download(version, root)
        manifest = dataclasses.replace(Manifest.of(root), kind=kind)
        bundle = Bundle.open(root, kind=kind)
    except BundleInvalid as error:
        return manifest, TrialReport(ok=False, reason=str(error)), None, str(error)
    return manifest, ports.trial.run(root, manifest=manifest), bundle, ""


def _current(ports: Ports, head: Entry | None) -> Current | None:
    """What is Production now, from its files; without them only its number and digest."""
    if head is None:
        return None
    route = head.route
    bare = Current(version=route.version, digest=route.digest)
    with tempfile.TemporaryDirectory(prefix="baton-current-") as scratch:
        try:
            version = ports.client.version(head.model, route.version)
            ports.client.download(version, Path(scratch))
            route.manifest.verify(Path(scratch))
            bundle = Bundle.open(Path(scratch), kind=route.manifest.kind)
        except (BundleInvalid, UnknownName):
            return bare
        return dataclasses.replace(bare, signature=bundle.signature, evaluation=bundle.evaluation)


def _earlier(history: list[Entry]) -> Route:
    """The newest earlier version that nobody rolled back from."""
    bad = {history[0].digest}
    for entry, before in itertools.pairwise(history):
        if entry.kind is EntryKind.ROLLBACK:
            bad.add(before.digest)
    for entry in history[1:]:
        if entry.digest not in bad:
            return entry.route
    raise NothingToServe(
        f"{history[0].model}: no earlier version to go back to that was not rolled back from; "
        "name one with --to VERSION"
    )


def _served_before(history: list[Entry], model: str, to: int) -> Route:
    for entry in history:
        if entry.route.version == to:
            return entry.route
    served = sorted({entry.route.version for entry in history})
    raise UnknownName(f"version that served {model}", str(to), served)
