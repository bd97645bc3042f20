"""What follows, decided: train, promote, or nothing. Pure.

Everything it goes by is kept elsewhere already: jobs in their queue, entries in the ledger. So
whoever decides once more, after a crash or on another machine, decides the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from registry.jobs import Job, JobState
from registry.policy import Policy, Promote, Retrain
from registry.verdicts import About, Verdict, VerdictState

_NAMESPACE: Final = uuid.UUID("6f0d6a5e-9a53-4b0a-9f5e-7a3f6c0b51d2")
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_ABOUT: Final = {Retrain.ON_DRIFT: About.DRIFT, Retrain.ON_ACCURACY: About.ACCURACY}


@dataclass(frozen=True)
class Train:
    """Queue a training; the same `cause` is the same job, whoever asks."""

    model: str
    cause: str

    @property
    def id(self) -> str:
        """The job's id, made of its cause."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.model} {self.cause}"))


@dataclass(frozen=True)
class Promotion:
    """Promote the version that the job made, through all gates."""

    model: str
    version: int
    job: str


@dataclass(frozen=True, kw_only=True)
class Known:
    """What there is of one model, at `now_ms` (Unix milliseconds).

    `serving` is the version that does, `jobs` are those that followed, newest first, and `done`
    the versions of them that were refused, or have served, before.
    """

    model: str
    serving: int | None
    jobs: Sequence[Job]
    done: frozenset[int]
    now_ms: int


def next_action(
    policy: Policy, verdicts: Sequence[Verdict], known: Known
) -> Train | Promotion | None:
    """What is to be done now, if anything: at most one thing."""
    return _promotion(policy, known) or _training(policy, verdicts, known)


def _promotion(policy: Policy, known: Known) -> Promotion | None:
    """The newest job's version, unless a newer one serves; those of older jobs were overtaken."""
    newest = next(iter(known.jobs), None)
    if policy.promote is not Promote.AUTO or newest is None or known.serving is None:
        return None
    made = newest.outcome
    if newest.state is not JobState.FINISHED or made.model != known.model or made.version is None:
        return None
    version = int(made.version)
    if version in known.done or version <= known.serving:
        return None
    return Promotion(known.model, version, newest.id)


def _training(policy: Policy, verdicts: Sequence[Verdict], known: Known) -> Train | None:
    """A training, if its policy has a cause for one and the last ones are long enough ago."""
    cause = _cause(policy, verdicts, known)
    if cause is None or known.serving is None:
        return None
    if any(not job.state.is_over for job in known.jobs):
        return None
    lately = [job for job in known.jobs if known.now_ms - job.made_ms < _DAY_MS]
    rested = all(
        known.now_ms - job.made_ms >= policy.cool_down_hours * _HOUR_MS for job in known.jobs
    )
    return Train(known.model, cause) if rested and len(lately) < policy.most_a_day else None


def _cause(policy: Policy, verdicts: Sequence[Verdict], known: Known) -> str | None:
    """Why to train now: in the words of the log, and the same for everybody who looks."""
    if policy.retrain is Retrain.ON_SCHEDULE:
        slot = int(known.now_ms / (policy.every_hours * _HOUR_MS))
        return f"schedule: every {policy.every_hours:g} h, number {slot}"
    about = _ABOUT.get(policy.retrain)
    raised = [
        verdict
        for verdict in verdicts
        if (verdict.model, verdict.version) == (known.model, known.serving)
        and verdict.about is about
        and verdict.state is VerdictState.RAISED
    ]
    if not raised:
        return None
    first = min(raised, key=lambda one: (-one.window_end, one.rule))
    return f"{first.about}: {first.rule} of v{first.version}, window to {first.window_end:.0f}"
