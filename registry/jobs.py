"""Jobs: trainings that somebody asked for over HTTP, and the queue they wait in.

Serving puts a request into the queue and shows what became of it; a worker of training claims it,
says what it sees while the job runs, and how it ended. Both know this file only. `JobQueue` is the
port; `SqlJobs` keeps it in sqlite or PostgreSQL.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, NamedTuple, Protocol

# Whose worker died gets one more attempt; the second death is the job's end.
MOST_LOSSES: Final = 1
_MOST_SHOWN: Final = 10  # items of a list in a request that is shown again


class JobKind(StrEnum):
    """What a job does; also the route that asks for it."""

    TRAIN = "train"
    CUSTOM = "predict-custom"


class JobState(StrEnum):
    """Where a job is; the last three are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing comes after it."""
        return self not in LIVE


LIVE: Final = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What is asked for. `owner` is the id of an API key; empty where there are none.

    Two requests of an owner with the same `idempotency` are one job.
    """

    id: str
    kind: JobKind
    owner: str
    body: Mapping[str, Any]
    idempotency: str | None = None

    @cached_property
    def text(self) -> str:
        """The body as it is kept: two that say the same are the same."""
        return json.dumps(self.body, sort_keys=True, allow_nan=False)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is asked for, whoever asks."""
        return hashlib.sha256(f"{self.kind} {self.text}".encode()).hexdigest()

    @property
    def shown(self) -> dict[str, Any]:
        """The body as it is shown later: of a long list its length."""
        return {name: _short(value) for name, value in self.body.items()}


@dataclass(frozen=True)
class Attempt:
    """One worker's right to say something about a job; it ends when another one takes it up."""

    job: str
    number: int
    worker: str


@dataclass(frozen=True)
class Claim:
    """A job that a worker has just taken up."""

    attempt: Attempt
    kind: JobKind
    body: Mapping[str, Any]


class Pulse(NamedTuple):
    """How often a running job was heard of. Two that are equal: its worker was silent between."""

    attempt: int
    beats: int


@dataclass(frozen=True)
class Look:
    """The queue at one moment: the pulse of each job that runs, and how many wait."""

    running: Mapping[str, Pulse]
    queued: int


class Standing(StrEnum):
    """What a worker learns by its beat."""

    MINE = "mine"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is known of a job that runs; `progress` from 0 to 1, `log` its last lines."""

    step: str | None = None
    progress: float = 0.0
    run_id: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended, and why if it did not finish."""

    state: JobState
    reason: str | None = None
    result: Mapping[str, Any] | None = None
    model: str | None = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it is shown. `request` is what was asked for, without its long lists.

    Times are Unix milliseconds of some machine: for people.
    """

    id: str
    kind: JobKind
    owner: str
    request: Mapping[str, Any]
    state: JobState
    attempt: int
    worker: str | None
    cancelling: bool
    seen: Progress
    outcome: Outcome
    made_ms: int
    started_ms: int | None
    ended_ms: int | None

    def to_json(self, *, whole: bool = True) -> dict[str, Any]:
        """As shown over HTTP; without its log and result unless `whole`."""
        outcome = self.outcome
        shown = {
            "job_id": self.id,
            "kind": self.kind.value,
            "state": self.state.value,
            "cancelling": self.cancelling and not self.state.is_over,
            "attempt": self.attempt,
            "worker": self.worker,
            "step": self.seen.step,
            "progress": self.seen.progress,
            "metrics": dict(self.seen.metrics),
            "run_id": self.seen.run_id,
            "model": outcome.model,
            "version": outcome.version,
            "reason": outcome.reason,
            "request": dict(self.request),
            "created": _iso(self.made_ms),
            "started": _iso(self.started_ms),
            "ended": _iso(self.ended_ms),
        }
        return {**shown, "result": outcome.result, "log": [*self.seen.log]} if whole else shown


class JobQueue(Protocol):
    """Where jobs wait. Every method may raise Unreachable."""

    def enqueue(self, request: JobRequest, *, most_live: int) -> tuple[Job, bool]:
        """The job, and whether it is new.

        Raises KeyReused if its idempotency came with another request, TooManyRequests if the owner
        has `most_live` jobs that are queued or running.
        """

    def job(self, job: str) -> Job | None:
        """One job by its id."""

    def newest(self, owner: str | None, *, most: int) -> Sequence[Job]:
        """The newest jobs of an owner, or of everybody."""

    def cancel(self, job: str) -> Job | None:
        """End a queued job; have a running one ended by its worker. None if it is over."""

    def look(self) -> Look:
        """What runs and how many wait; changes nothing."""

    def claim(self, worker: str, *, most_running: int) -> Claim | None:
        """Take up the oldest queued job whose owner has fewer than `most_running` that run."""

    def beat(self, attempt: Attempt, seen: Progress) -> Standing:
        """Say that the job goes on, and how; LOST if it is no longer this worker's."""

    def finish(self, attempt: Attempt, seen: Progress, outcome: Outcome) -> bool:
        """End the job; False, and nothing happens, if it is no longer this worker's."""

    def give_back(self, attempt: Attempt) -> bool:
        """Let somebody else take it up, as if this worker had never claimed it."""

    def take_from_silent(self, job: str, pulse: Pulse) -> Job | None:
        """Take a job that still has this pulse from its worker: queued once more, then failed.

        None if it was heard of meanwhile, or somebody else did it first.
        """


def _short(value: Any) -> Any:
    """A value of a request; of a long list its length."""
    if isinstance(value, list) and len(value) > _MOST_SHOWN:
        return f"{len(value)} values"
    return value


def _iso(ms: int | None) -> str | None:
    """A time as text in UTC."""
    if ms is None:
        return None
    moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")
