"""The queue of jobs in SQL: sqlite (WAL, one file) or PostgreSQL, through one SQLAlchemy adapter.

Whatever counts before it writes (a claim, a new job) is done by one at a time: `BEGIN IMMEDIATE` on
sqlite, an advisory lock on PostgreSQL, taken by a statement of its own so that the next one sees
what was committed before. All else is one statement that says in its WHERE whom it believes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from registry import jobs_tables as tables
from registry.errors import KeyReused, TooManyRequests
from registry.jobs import (
    MOST_LOSSES,
    Attempt,
    Claim,
    Job,
    JobKind,
    JobRequest,
    JobState,
    Look,
    Outcome,
    Progress,
    Pulse,
    Standing,
)
from registry.jobs_database import KEPT
from registry.jobs_rows import seen_values, to_job

_ONE_AT_A_TIME: Final = 0x6A6F6273  # any constant: the advisory lock of those who count
_FULL_SECONDS: Final = 10.0
_jobs, _c = tables.jobs, tables.jobs.c


class SqlJobs:
    """The `JobQueue` port over a SQLAlchemy URL; makes its tables on first use."""

    def __init__(self, url: str, *, now: Callable[[], float] = time.time) -> None:
        """Open the database; raises Unreachable, or SettingsError for a URL that is none.

        `now` is Unix time in seconds.
        """
        self._engine = KEPT.open(url)
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._now = now

    def enqueue(self, request: JobRequest, *, most_live: int) -> tuple[Job, bool]:
        """See `JobQueue.enqueue`."""
        with KEPT.reaching(), self._engine.begin() as connection:
            self._wait_for_turn(connection)
            if (known := _known(connection, request)) is not None:
                return known, False
            mine = sa.and_(_c.owner == request.owner, tables.is_live)
            live = connection.scalar(sa.select(sa.func.count()).where(mine)) or 0
            if live >= most_live:
                raise TooManyRequests(
                    f"{live} jobs of this key are queued or running, at most {most_live} may be; "
                    "wait for one, or cancel one",
                    seconds=_FULL_SECONDS,
                )
            connection.execute(sa.insert(_jobs).values(self._new(request)))
            return _one(connection, request.id), True

    def job(self, job: str) -> Job | None:
        """See `JobQueue.job`."""
        found = self._read(sa.select(*tables.shown).where(_c.id == job))
        return to_job(found[0]) if found else None

    def newest(self, owner: str | None, *, most: int) -> Sequence[Job]:
        """See `JobQueue.newest`."""
        query = sa.select(*tables.shown).order_by(_c.n.desc()).limit(most)
        found = self._read(query if owner is None else query.where(_c.owner == owner))
        return [to_job(row) for row in found]

    def cancel(self, job: str) -> Job | None:
        """See `JobQueue.cancel`."""
        is_queued = _c.state == JobState.QUEUED
        statement = sa.update(_jobs).where(_c.id == job, tables.is_live)
        with KEPT.reaching(), self._engine.begin() as connection:
            done = connection.execute(
                statement.values(
                    cancelling=True,
                    state=sa.case((is_queued, JobState.CANCELLED.value), else_=_c.state),
                    ended_ms=sa.case((is_queued, self._now_ms()), else_=_c.ended_ms),
                )
            )
            return _one(connection, job) if done.rowcount else None

    def look(self) -> Look:
        """See `JobQueue.look`."""
        found = self._read(sa.select(_c.id, _c.state, _c.attempt, _c.beats).where(tables.is_live))
        return Look(
            {r.id: Pulse(r.attempt, r.beats) for r in found if r.state == JobState.RUNNING},
            queued=sum(row.state == JobState.QUEUED for row in found),
        )

    def claim(self, worker: str, *, most_running: int) -> Claim | None:
        """See `JobQueue.claim`."""
        waiting, other = _jobs.alias("waiting"), _jobs.alias("other")
        running = (
            sa.select(sa.func.count())
            .where(other.c.state == JobState.RUNNING, other.c.owner == waiting.c.owner)
            .scalar_subquery()
        )
        head = (
            sa.select(waiting.c.id)
            .where(waiting.c.state == JobState.QUEUED, running < most_running)
            .order_by(waiting.c.n)
            .limit(1)
        )
        taken = (
            sa.update(_jobs)
            .where(_c.id == head.scalar_subquery(), _c.state == JobState.QUEUED)
            .values(
                state=JobState.RUNNING.value,
                worker=worker,
                attempt=_c.attempt + 1,
                beats=_c.beats + 1,
                started_ms=self._now_ms(),
                reason=None,
                **seen_values(Progress()),
            )
            .returning(_c.id, _c.attempt, _c.kind, _c.body)
        )
        with KEPT.reaching(), self._engine.begin() as connection:
            self._wait_for_turn(connection)
            row = connection.execute(taken).first()
        if row is None:
            return None
        attempt = Attempt(row.id, row.attempt, worker)
        return Claim(attempt, JobKind(row.kind), json.loads(row.body))

    def beat(self, attempt: Attempt, seen: Progress) -> Standing:
        """See `JobQueue.beat`."""
        values = {"beats": _c.beats + 1, **seen_values(seen)}
        beat = sa.update(_jobs).where(self._is_of(attempt)).values(values).returning(_c.cancelling)
        with KEPT.reaching(), self._engine.begin() as connection:
            row = connection.execute(beat).first()
        if row is None:
            return Standing.LOST
        return Standing.CANCELLED if row.cancelling else Standing.MINE

    def finish(self, attempt: Attempt, seen: Progress, outcome: Outcome) -> bool:
        """See `JobQueue.finish`."""
        return self._changed(
            attempt,
            state=outcome.state.value,
            reason=outcome.reason,
            result=None if outcome.result is None else json.dumps(outcome.result, allow_nan=False),
            model=outcome.model,
            version=outcome.version,
            ended_ms=self._now_ms(),
            **seen_values(seen),
        )

    def give_back(self, attempt: Attempt) -> bool:
        """See `JobQueue.give_back`; a job that was to be cancelled is over instead."""
        state = sa.case((_c.cancelling, JobState.CANCELLED.value), else_=JobState.QUEUED.value)
        ended = sa.case((_c.cancelling, self._now_ms()), else_=sa.null())
        return self._changed(attempt, state=state, ended_ms=ended)

    def take_from_silent(self, job: str, pulse: Pulse) -> Job | None:
        """See `JobQueue.take_from_silent`."""
        again = sa.and_(sa.not_(_c.cancelling), _c.losses < MOST_LOSSES)
        state = sa.case(
            (_c.cancelling, JobState.CANCELLED.value),
            (again, JobState.QUEUED.value),
            else_=JobState.FAILED.value,
        )
        said = f" died or fell silent in attempt {pulse.attempt}, step "
        died = sa.literal("worker ") + _c.worker + said + sa.func.coalesce(_c.step, "none yet")
        taken = (
            sa.update(_jobs)
            .where(
                _c.id == job,
                _c.state == JobState.RUNNING,
                _c.attempt == pulse.attempt,
                _c.beats == pulse.beats,
            )
            .values(
                state=state,
                losses=_c.losses + 1,
                beats=_c.beats + 1,
                reason=died,
                ended_ms=sa.case((again, sa.null()), else_=self._now_ms()),
            )
        )
        with KEPT.reaching(), self._engine.begin() as connection:
            done = connection.execute(taken)
            return _one(connection, job) if done.rowcount else None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _new(self, request: JobRequest) -> dict[str, Any]:
        """A request as it is inserted: queued."""
        return {
            "id": request.id,
            "kind": request.kind.value,
            "owner": request.owner,
            "idempotency": request.idempotency,
            "digest": request.digest,
            "body": request.text,
            "request": json.dumps(request.shown),
            "state": JobState.QUEUED.value,
            "attempt": 0,
            "losses": 0,
            "beats": 0,
            "cancelling": False,
            "made_ms": self._now_ms(),
            **seen_values(Progress()),
        }

    def _changed(self, attempt: Attempt, **values: Any) -> bool:
        """Change a job that is still `attempt`'s; False if it no longer is."""
        change = sa.update(_jobs).where(self._is_of(attempt)).values(values)
        with KEPT.reaching(), self._engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def _is_of(self, attempt: Attempt) -> sa.ColumnElement[bool]:
        """The job, as long as it is this attempt that runs."""
        return sa.and_(
            _c.id == attempt.job,
            _c.worker == attempt.worker,
            _c.attempt == attempt.number,
            _c.state == JobState.RUNNING,
        )

    def _wait_for_turn(self, connection: sa.Connection) -> None:
        """Until this transaction ends, nobody else counts; sqlite's began that way."""
        if self._engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with KEPT.reaching(), self._readers.connect() as connection:
            return connection.execute(query).all()

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _known(connection: sa.Connection, request: JobRequest) -> Job | None:
    """The job that this request asked for before. Raises KeyReused."""
    if request.idempotency is None:
        return None
    same = sa.and_(_c.owner == request.owner, _c.idempotency == request.idempotency)
    row = connection.execute(sa.select(*tables.shown).where(same)).first()
    if row is None:
        return None
    if row.digest != request.digest:
        raise KeyReused(
            f"Idempotency-Key {request.idempotency!r}: came with another request before, which is "
            f"job {row.id}; expected a new key for a new request"
        )
    return to_job(row)


def _one(connection: sa.Connection, job: str) -> Job:
    return to_job(connection.execute(sa.select(*tables.shown).where(_c.id == job)).one())
