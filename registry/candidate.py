"""What gates look at: evidence about the version that wants to be Production, and about what is.

Made elsewhere (`evidence.py`), read by `gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from registry.bundle import Bundle
from registry.evaluation import Evaluation
from registry.params import Param
from registry.signature import Signature
from registry.trial import TrialReport


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What came of converting a version that is code; `said` is shown to people."""

    ok: bool
    said: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Evidence about the version that wants to be Production.

    `metrics` are the evaluation's or, for a version from elsewhere, its run's; `now_ms` is when it
    is judged; `problem` is set when its files could not even be understood, `conversion` when they
    are code that was to be converted.
    """

    digest: str
    trial: TrialReport
    now_ms: int
    bundle: Bundle | None = None
    problem: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    conversion: Conversion | None = None

    @property
    def evaluation(self) -> Evaluation | None:
        """What its training measured."""
        return self.bundle.evaluation if self.bundle else None

    @property
    def signature(self) -> Signature | None:
        """What it takes: its own word, else what the trial read from its graph."""
        return (self.bundle.signature if self.bundle else None) or self.trial.signature


@dataclass(frozen=True, kw_only=True)
class Current:
    """Evidence about the version that is Production now."""

    version: int
    digest: str
    signature: Signature | None = None
    params: Sequence[Param] = ()
    labels: Sequence[str] = ()
    evaluation: Evaluation | None = None
