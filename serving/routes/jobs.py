"""Jobs over HTTP: asked for, looked at, cancelled. They wait for the queue's database only.

A key sees its own jobs, one with the scope `admin` all of them; where there are no keys, everybody
sees everything.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from flask import Blueprint, Response, request, url_for

from registry.errors import (
    JobOver,
    MalformedRequest,
    RequestTooLarge,
    UnknownJob,
)
from registry.job_bodies import SeriesBody, TrainBody
from registry.jobs import Job, JobKind, JobQueue, JobRequest
from serving.keys import Key, Scope
from serving.routes.parts import guarded, json_body, parts
from serving.strict_json import load_object

blueprint = Blueprint("jobs", __name__)
_SHOWN: Final = 50
_MOST_BYTES: Final = 1024 * 1024  # 10,000 dated points
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_IDEMPOTENCY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_READERS: Final[Mapping[JobKind, Callable[[Mapping[str, Any]], object]]] = {
    JobKind.TRAIN: TrainBody.of,
    JobKind.CUSTOM: SeriesBody.of,
}


@blueprint.post("/train")
def train() -> Response:
    """Ask for a training."""
    return guarded(lambda: _ask(JobKind.TRAIN))


@blueprint.post("/predict-custom")
def predict_custom() -> Response:
    """Ask for a forecast of a series of one's own."""
    return guarded(lambda: _ask(JobKind.CUSTOM))


@blueprint.get("/jobs")
def list_jobs() -> Response:
    """One's newest jobs, in short."""
    return guarded(_listed)


@blueprint.get("/jobs/<job>")
def show_job(job: str) -> Response:
    """One job, with its log and result."""
    return guarded(lambda: _shown(job))


@blueprint.delete("/jobs/<job>")
def cancel_job(job: str) -> Response:
    """Cancel a job: at once if it waits, within seconds if it runs."""
    return guarded(lambda: _cancelled(job))


def _ask(kind: JobKind) -> Response:
    held = parts()
    key = held.access.admit(request.headers.get, Scope.TRAIN)
    body = load_object(_body())
    _READERS[kind](body)
    wanted = JobRequest(
        id=str(uuid.uuid4()),
        kind=kind,
        owner=key.id if key else "",
        body=body,
        idempotency=_idempotency(),
    )
    with held.jobs.asked() as queue:
        job, is_new = queue.enqueue(wanted, most_live=held.settings.jobs_per_key)
    response = _answer(_whole(job), 202 if is_new else 200)
    response.headers["Location"] = _url(job)
    return response


def _listed() -> Response:
    key = _reader()
    with parts().jobs.asked() as queue:
        found = queue.newest(_owner(key), most=_SHOWN)
    return _answer({"jobs": [{**job.to_json(whole=False), "url": _url(job)} for job in found]})


def _shown(job: str) -> Response:
    key = _reader()
    with parts().jobs.asked() as queue:
        return _answer(_whole(_own(queue, job, key)))


def _cancelled(job: str) -> Response:
    key = _reader()
    with parts().jobs.asked() as queue:
        found = _own(queue, job, key)
        ended = queue.cancel(found.id)
    if ended is None:
        raise JobOver(f"job {job}: has ended, there is nothing to cancel")
    return _answer(_whole(ended), 200 if ended.state.is_over else 202)


def _reader() -> Key | None:
    """Who asks about jobs."""
    return parts().access.admit(request.headers.get, Scope.TRAIN, Scope.ADMIN)


def _owner(key: Key | None) -> str | None:
    """Whose jobs this key may see; None is everybody's."""
    return None if key is None or Scope.ADMIN in key.scopes else key.id


def _own(queue: JobQueue, job: str, key: Key | None) -> Job:
    """Raises UnknownJob, of another key's jobs too: who asks must not learn that they exist."""
    found = queue.job(job) if _UUID.fullmatch(job) else None
    owner = _owner(key)
    if found is None or owner not in (None, found.owner):
        raise UnknownJob(f"job {job!r}: there is none of this key's")
    return found


def _body() -> bytes:
    """The request's body. Raises RequestTooLarge, MalformedRequest or UnsupportedMediaType."""
    body = json_body()
    if len(body) > _MOST_BYTES:
        raise RequestTooLarge(f"body: {len(body)} bytes, at most {_MOST_BYTES}")
    return body


def _idempotency() -> str | None:
    given = request.headers.get("Idempotency-Key")
    if given is not None and not _IDEMPOTENCY.fullmatch(given):
        raise MalformedRequest("Idempotency-Key: expected 1 to 200 letters, digits or signs")
    return given


def _whole(job: Job) -> dict[str, Any]:
    return {**job.to_json(), "url": _url(job)}


def _url(job: Job) -> str:
    return url_for("jobs.show_job", job=job.id)


def _answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """As JSON, in which no number is NaN or infinite."""
    return Response(orjson.dumps(body), status, {"Content-Type": "application/json"})
