"""Jobs as rows of the queue's table."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from registry.jobs import Job, JobKind, JobState, Outcome, Progress


def seen_values(seen: Progress) -> dict[str, Any]:
    """What is known of a running job, by column."""
    return {
        "step": seen.step,
        "progress": seen.progress,
        "run_id": seen.run_id,
        "metrics": json.dumps(dict(seen.metrics), allow_nan=False),
        "log": json.dumps(seen.log),
    }


def to_job(row: sa.Row[Any]) -> Job:
    """A row as a job."""
    state = JobState(row.state)
    return Job(
        id=row.id,
        kind=JobKind(row.kind),
        owner=row.owner,
        request=json.loads(row.request),
        state=state,
        attempt=row.attempt,
        worker=row.worker,
        cancelling=row.cancelling,
        seen=Progress(
            step=row.step,
            progress=row.progress,
            run_id=row.run_id,
            metrics=json.loads(row.metrics),
            log=tuple(json.loads(row.log)),
        ),
        outcome=Outcome(
            state=state,
            reason=row.reason,
            result=json.loads(row.result) if row.result else None,
            model=row.model,
            version=row.version,
        ),
        made_ms=row.made_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
    )
