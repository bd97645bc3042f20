"""Where the requests of one worker go: prediction routes to `answer()`, all others to Flask.

A prediction that is known to be quick is answered on the loop's thread: handing it to another one
costs more than it takes. All others are answered by a few threads; when too many wait for those,
the next is turned away at once. Versions that answer several requests by one call have more
threads, which wait for that call together. Routes that predict nothing have threads of their own,
so that health is told however busy the models are; those of jobs and of feedback others, which a
database can hold up.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final

from registry.errors import BatonError, MalformedRequest, Overloaded
from serving import problems
from serving.answer import Answer, trusted_id
from serving.desk import FEEDBACK, JOB, PATHS
from serving.lane.connection import Connection, all_taken
from serving.lane.crew import Crew, Work
from serving.lane.hot import Hot, hot
from serving.lane.request import Request
from serving.lane.turns import Turns
from serving.lane.wsgi import Application, call, path_of
from serving.protocols import Header, Protocol
from serving.protocols.baton import Baton
from serving.routes.parts import Parts
from serving.routes.proxies import Proxies

Give = Callable[..., None]  # as `Crew.give`
_log = logging.getLogger(__name__)
_QUICK_SECONDS: Final = 0.002
# What is quicker gains nothing from joint calls: nobody looks whether it has them.
_NOTABLE_SECONDS: Final = 0.0005
_QUICK_BYTES: Final = 16 * 1024
_MOST_KNOWN: Final = 10_000
_ROUTE_THREADS: Final = 2
# At most so many requests are in one joint call; all but one of these threads wait for it.
_JOINT_THREADS: Final = 32
_NICENESS: Final = 5
_FORECAST: Final = "/predict/"
_TIMEOUT: Final = "X-Request-Timeout-Ms"
_BATON: Final = Baton()
# Clients beyond those a worker takes who are heard once: who asks for health is answered.
_SPARE: Final = 64
_HEALTH: Final = frozenset(
    (
        b"/livez",
        b"/readyz",
        b"/ping",
        b"/health",
        b"/v2/health/live",
        b"/v2/health/ready",
        b"/metrics",
    )
)


class Lane:
    """The handler of all connections of a worker; used on its loop's thread."""

    def __init__(self, application: Application, parts: Parts, *, most_open: int) -> None:
        """`application` answers what is no prediction; of `most_open` clients.

        Beyond them it tells some more what they ask of the server's health, but nothing else.
        """
        settings = parts.settings
        self._application = application
        self._answerer, self._manager, self._stop = parts.answerer, parts.manager, parts.stopping
        self.max_body_bytes = settings.max_body_bytes
        self._proxies = Proxies(settings.trusted_proxies) if settings.trusted_proxies else None
        self.connections: set[Connection] = set()
        self._spare: set[Connection] = set()
        self._most_open = most_open
        self._loop = asyncio.get_event_loop()
        self._most_waiting = settings.queue
        self._models = self._crew("predict", settings.threads)
        self._joint: Crew | None = None  # until a version declares joint calls
        self._routes = Crew("route", threads=_ROUTE_THREADS, most_waiting=most_open)
        self._waiting: dict[str, Crew] = {}  # for a database, until somebody asks for one
        self._at_once = {JOB: parts.jobs.at_once, FEEDBACK: parts.feedback.at_once}
        self._turns = Turns()
        self._known: dict[bytes, Hot | None] = {}

    def lasts(self, connection: Connection) -> bool:
        """See `Handler.lasts`: not in a worker that is about to end, and not with one too many."""
        return not (self._stop.is_set() or connection in self._spare)

    def opened(self, connection: Connection) -> bool:
        """See `Handler.opened`."""
        self.connections.add(connection)
        beyond = len(self.connections) - self._most_open
        if beyond > 0:
            self._spare.add(connection)
        return beyond <= _SPARE

    def closed(self, connection: Connection) -> None:
        """See `Handler.closed`."""
        self.connections.discard(connection)
        self._spare.discard(connection)

    def take(self, connection: Connection, request: Request) -> Answer | None:
        """See `Handler.take`."""
        give: Give
        route = self._route(request)
        if connection in self._spare and request.target not in _HEALTH:
            return self._refused(all_taken(), request, route)
        try:
            until = _until(request)
        except MalformedRequest as error:
            return self._refused(error, request, route)
        if route is None:
            work = partial(call, self._application, request)
            give = self._crew_of(path_of(request)).give
            return self._later(give, connection, request, work, until=until)
        work = partial(
            self._answerer.answer,
            route.protocol,
            route.model,
            request.body,
            self._header(request),
            version=route.version,
        )
        if self._is_quick(route, request):
            give = partial(self._turns.give, seconds=route.seconds)
        else:
            give = (self._joined() if route.is_batched else self._models).give
        return self._later(give, connection, request, work, until=until, route=route)

    def refuse(self, error: BatonError, request: Request | None, status: int) -> Answer:
        """See `Handler.refuse`."""
        route = self._route(request) if request else None
        header = request.header if request else lambda _name: None
        found = problems.problem(error, request_id=trusted_id(header("X-Request-Id")))
        if not route and status != found.status:
            found = problems.Problem(HTTPStatus(status), str(error), found.request_id)
        protocol: Protocol = route.protocol if route else _BATON
        return self._noted(Answer(*protocol.refuse(found)), error, request, route)

    def look(self, now: float) -> None:
        """Once a second: end what has kept still for too long."""
        for connection in list(self.connections):
            connection.look(now)

    def close(self) -> None:
        """End all that is left."""
        for connection in list(self.connections):
            connection.abort()
        self._models.close()
        self._routes.close()
        for crew in (*([self._joint] if self._joint else []), *self._waiting.values()):
            crew.close()

    def _crew(self, name: str, threads: int) -> Crew:
        """Threads for models: they give way to the loop's."""
        return Crew(name, threads=threads, most_waiting=self._most_waiting, niceness=_NICENESS)

    def _crew_of(self, path: str) -> Crew:
        """Who answers a request that is none of the hot ones."""
        if path.startswith(_FORECAST):
            return self._models
        name = next((name for name, starts in PATHS.items() if path.startswith(starts)), None)
        if name is None:
            return self._routes
        if name not in self._waiting:
            self._waiting[name] = self._crew(name, self._at_once[name])
        return self._waiting[name]

    def _joined(self) -> Crew:
        self._joint = self._joint or self._crew("joint", _JOINT_THREADS)
        return self._joint

    def _route(self, request: Request) -> Hot | None:
        if request.method != b"POST":
            return None
        try:
            return self._known[request.target]
        except KeyError:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[request.target] = hot(request.target)
            return found

    def _is_quick(self, route: Hot, request: Request) -> bool:
        """Whether the answer is there at once: a small body, a quick model, loaded right here."""
        if route.is_batched or route.seconds > _QUICK_SECONDS or len(request.body) > _QUICK_BYTES:
            return False
        if route.model is None and self._manager.is_lazy:
            return False  # the body may name one that is not loaded
        servable = self._manager.loaded(route.model or self._answerer.presumed, alone=True)
        return servable is not None and servable.is_light

    def _learn(self, route: Hot) -> None:
        """Look whether the version that answers a route has joint calls."""
        servable = self._manager.loaded(route.model or self._answerer.presumed)
        route.is_batched = servable is not None and servable.is_batched

    def _later(
        self,
        give: Give,
        connection: Connection,
        request: Request,
        work: Work,
        *,
        until: float,
        route: Hot | None = None,
    ) -> Answer | None:
        """Have it answered, unless too many wait already."""

        def then(result: Answer | Exception, seconds: float) -> None:
            if isinstance(result, BaseException):
                result = self._refused(result, request, route)
            elif route:
                if route.is_batched or route.seconds > _NOTABLE_SECONDS:
                    self._learn(route)
                route.took(seconds)
            connection.answer(result)

        try:
            give(work, until=until, then=then)
        except Overloaded as error:
            return self._refused(error, request, route)
        return None

    def _refused(self, error: Exception, request: Request, route: Hot | None) -> Answer:
        identity = trusted_id(request.header("X-Request-Id"))
        found = problems.problem(error, request_id=identity)
        if found.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("cannot answer", exc_info=error, extra={"request_id": identity})
        protocol: Protocol = route.protocol if route else _BATON
        return self._noted(Answer(*protocol.refuse(found)), error, request, route)

    def _noted(
        self, answer: Answer, error: Exception, request: Request | None, route: Hot | None
    ) -> Answer:
        """A refusal; the one of a prediction is written down."""
        if route and request:
            self._answerer.turned_away(route.protocol, error, self._header(request), answer)
        return answer

    def _header(self, request: Request) -> Header:
        """What a request's headers say, as far as it is to be believed."""
        if self._proxies and request.peer and request.peer[0] in self._proxies:
            return request.header
        return request.header_of_a_client


def _until(request: Request) -> float:
    """Until when the client wants its answer begun, by `monotonic`."""
    text = request.header(_TIMEOUT)
    if text is None:
        return math.inf
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise MalformedRequest(f"{_TIMEOUT}: expected milliseconds as a whole number, got {text!r}")
    return time.monotonic() + int(text) / 1000
