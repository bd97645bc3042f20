"""What routes are handed by the composition root."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from flask import Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from registry.errors import BatonError, MalformedRequest, RequestTooLarge
from registry.settings import Settings
from serving import problems
from serving.access import Access
from serving.answer import Answer, Answerer, trusted_id
from serving.jobs import Desk
from serving.keys import Scope
from serving.manager import Manager
from serving.problems import Problem
from serving.protocols import Protocol
from serving.protocols.baton import Baton

EXTENSION = "baton"
BATON = Baton()
# What a load balancer asks, and the page that can then ask for a key.
_FOR_EVERYONE = frozenset(
    {
        "operations.livez",
        "operations.readyz",
        "mlflow.ping",
        "v2.live",
        "v2.ready",
        "description.docs",
        "description.docs_asset",
    }
)
# Scrapers have a key of their own: what is counted tells of every model.
_SCRAPED = "operations.prometheus"
# Each protocol refuses in its own words; jobs need scopes of their own.
_ADMITTED_LATER = frozenset(
    {
        "predict.predict_default",
        "predict.predict_named",
        "predict.forecast",
        "mlflow.invocations",
        "v2.infer",
        "jobs.train",
        "jobs.predict_custom",
        "jobs.list_jobs",
        "jobs.show_job",
        "jobs.cancel_job",
    }
)


@dataclass(frozen=True)
class Parts:
    """The worker's parts; `stopping` is set once this worker is told to end."""

    settings: Settings
    manager: Manager
    answerer: Answerer
    access: Access
    desk: Desk
    stopping: threading.Event = field(default_factory=threading.Event)


def parts() -> Parts:
    """The parts of the application that handles this request."""
    return cast("Parts", current_app.extensions[EXTENSION])


def admitted() -> Response | None:
    """Before each request: a refusal, unless everyone may ask this or the answerer sees to it."""
    if request.endpoint in _FOR_EVERYONE or request.endpoint in _ADMITTED_LATER:
        return None
    scraped = request.endpoint == _SCRAPED
    scopes = (Scope.METRICS, Scope.ADMIN) if scraped else (None,)
    try:
        parts().access.admit(request.headers.get, *scopes)
    except BatonError as error:
        return failed(error)
    return None


def predicted(
    protocol: Protocol, model: str | None = None, *, version: str | None = None
) -> Response:
    """What `protocol` answers to the request at hand, however its body came or broke off."""
    try:
        body = whole_body()
    except BatonError as error:
        answer = _refusal(error, protocol)
        parts().answerer.turned_away(protocol, error, request.headers.get, answer)
        return respond(answer)
    answerer = parts().answerer
    return respond(answerer.answer(protocol, model, body, request.headers.get, version=version))


def whole_body() -> bytes:
    """The body of the request at hand. Raises RequestTooLarge or MalformedRequest."""
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge:
        limit = parts().settings.max_body_bytes
        raise RequestTooLarge(f"body: more than {limit} bytes") from None
    except Exception as error:
        current_app.logger.info("a body could not be read", exc_info=error)
        said = f"body: broken off, or not in chunks ({type(error).__name__})"
        raise MalformedRequest(said) from error


def failed(error: BatonError, protocol: Protocol = BATON) -> Response:
    """What `protocol` says of an error."""
    return respond(_refusal(error, protocol))


def refused(problem: Problem, protocol: Protocol = BATON) -> Response:
    """A refusal in the words of `protocol`."""
    return respond(Answer(*protocol.refuse(problem)))


def _refusal(error: BatonError, protocol: Protocol) -> Answer:
    identity = trusted_id(request.headers.get("X-Request-Id"))
    return Answer(*protocol.refuse(problems.problem(error, request_id=identity)))


def respond(answer: Answer) -> Response:
    """An answer as Flask sends it."""
    return Response(answer.body, answer.status, dict(answer.headers))
