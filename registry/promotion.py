"""How a version comes into Production, by a command or by hand. No I/O but through the ports.

It is judged without any lock; one entry is appended if the head is still the one it was judged
against; MLflow is left to `projection.py`. It can be run again after a crash at any point. How a
version leaves is `withdrawal.py`. Called by the commands and the registrar.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from registry.candidate import Candidate
from registry.client import RegistryClient
from registry.errors import ForeignLedger, GatesRefused, Refused
from registry.evidence import Examiner
from registry.gates import judge
from registry.ledger import Door, Draft, Entry, EntryKind, Ledger, Route
from registry.model_version import ModelVersion, Stage
from registry.packager import Packager
from registry.policy import Adoption, GatesFile
from registry.report import PromotionReport
from registry.trial import Trial

LEDGER_TAG = "baton.ledger"
TICKER_TAG = "ticker"  # as people who train on shares tag their versions
REJECTED_TAG = "baton.rejected"
MAX_TAG = 4000


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything a change of Production touches. `now_ms` is a clock in Unix milliseconds."""

    client: RegistryClient
    ledger: Ledger
    trial: Trial
    packager: Packager
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
    barred: Collection[str] = (),
) -> Promoted:
    """Judge `version` and, if the gates pass, make it what serves.

    Raises GatesRefused with the report's reason (Production untouched), Refused if its digest is
    one of `barred`, LostRace if the head moved meanwhile, Underway while the version is being
    converted. Promoting what already serves judges it again, and appends nothing unless it was
    taken out of Production by hand since, or another version is beside it: that ends here.
    """
    claim(ports, version.name)
    head = ports.ledger.head(version.name)
    route = head.route if head else None
    if stage is not Stage.PRODUCTION and route and is_version(route, version):
        raise Refused(f"{version}: it is in Production; promote another version first")
    judged = judge_version(ports, version, head, actor=actor, door=door, stage=stage)
    number = publish(ports, version, judged.report)
    if not judged.report.passed:
        raise GatesRefused(f"{version}: {judged.report.reason}", judged.report)
    if judged.report.digest in barred:
        raise Refused(f"{version}: these bytes were rolled back from; only a person promotes them")
    if stage is not Stage.PRODUCTION:
        ports.client.set_stage(version, stage, archive_others=False)
        tag_promoted(ports, version, stage=stage, actor=actor, at_ms=judged.report.at_ms)
        return Promoted(judged.report, None)
    if head and route and same_version(route, judged.route) and _stands(ports, head, route):
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


def judge_version(
    ports: Ports,
    version: ModelVersion,
    head: Entry | None,
    *,
    actor: str,
    door: Door,
    stage: Stage,
) -> Judged:
    """Fetch, hash, try and judge a version, converted first if its policy says so; no lock is held.

    Raises Underway while that is being done beside the caller.
    """
    policy = ports.gates.of(version.name)
    examiner = Examiner(client=ports.client, trial=ports.trial, packager=ports.packager)
    with tempfile.TemporaryDirectory(prefix="baton-judge-") as scratch:
        found = examiner.examine(version, Path(scratch), packaging=policy.package)
        bundle, manifest, trial = found.bundle, found.manifest, found.trial
        measured = bundle.evaluation.metrics if bundle and bundle.evaluation else None
        candidate = Candidate(
            digest=manifest.digest,
            trial=trial,
            now_ms=ports.now_ms(),
            bundle=bundle,
            problem=found.problem,
            metrics=ports.client.run_metrics(version) if measured is None else measured,
            conversion=found.conversion,
        )
        results = judge(candidate, examiner.current(head), policy)
    trusted = policy.adoption is Adoption.TRUST and door is Door.MLFLOW and trial.ok
    report = PromotionReport(
        model=version.name,
        version=version.version,
        digest=manifest.digest,
        current=head.route.version if head and head.route else None,
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
        source=found.source,
        manifest=manifest,
        ticker=version.tags.get(TICKER_TAG, ""),
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


def _stands(ports: Ports, head: Entry, route: Route) -> bool:
    """Whether `head` serves alone, and MLflow shows it or will once its projection is done."""
    if head.arm:
        return False
    if head.snapshot is None:
        return True
    return route.version in ports.client.snapshot(head.model).production


def is_version(route: Route, version: ModelVersion) -> bool:
    """Whether a route means this version, and not another one that was given its number."""
    return (route.version, route.created_ms) == (version.version, version.created_ms)
