"""The current Production version, asked the candidate's hold-out as it is served.

`Incumbent` is the port the `evaluate` step knows. The real one takes the head of the ledger,
downloads that version, verifies it against the ledger's manifest, and asks it in a trial process:
the bytes, the engine and the answers are those of serving, and nothing of it is loaded here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from registry.bundle import Bundle
from registry.client import MlflowRegistry, RegistryClient
from registry.errors import TrialFailed
from registry.ledger import Ledger
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.trial import SubprocessTrial, Trial


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The answers of a Production version; `series` is what it was trained on."""

    version: int
    digest: str
    series: str
    answers: Sequence[Mapping[str, Any]]


class Incumbent(Protocol):
    """Whatever serves a model at the moment."""

    def score(self, model: str, requests: Sequence[Mapping[str, Any]]) -> Scored | None:
        """Its answers, or None when nothing is in Production; raises BatonError if it fails."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServedIncumbent:
    """The version at the ledger's head; ledger and registry are opened when they are asked."""

    ledger: Callable[[], Ledger]
    client: Callable[[], RegistryClient]
    trial: Trial

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The one the settings point at."""
        return cls(
            ledger=lambda: SqlLedger(settings.ledger_url),
            client=lambda: MlflowRegistry(
                tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
            ),
            trial=SubprocessTrial(
                seconds=settings.trial_seconds,
                memory_mb=settings.trial_memory_mb,
                engines=settings.engines,
            ),
        )

    def score(self, model: str, requests: Sequence[Mapping[str, Any]]) -> Scored | None:
        """See `Incumbent.score`."""
        head = self.ledger().head(model)
        if head is None or head.route is None:
            return None
        manifest, client = head.route.manifest, self.client()
        with tempfile.TemporaryDirectory(prefix="baton-incumbent-") as scratch:
            root = Path(scratch, "version")
            client.fetch(head.route.source, root)
            manifest.verify(root)
            report = self.trial.run(root, manifest=manifest, requests=requests)
            if not report.ok:
                raise TrialFailed(f"{model} v{head.route.version}: {report.reason}")
            evaluation = Bundle.open(root, kind=manifest.kind, golden=manifest.golden).evaluation
        return Scored(
            version=head.route.version,
            digest=head.digest,
            series=evaluation.series if evaluation else "",
            answers=report.answers,
        )
