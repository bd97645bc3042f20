"""The composition root of a worker: settings and parts in, a complete Flask application out.

Starts no thread: the server does that after it forked (`infra/gunicorn.conf.py`).
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from registry.bundle import Bundle, Manifest
from registry.errors import FeedbackAway, JobsAway, RunnerAway
from registry.jobs import JobQueue
from registry.outcomes import Outcomes
from registry.settings import Settings
from serving import problems
from serving.access import Access, Rates
from serving.answer import Answerer, trusted_id
from serving.assignments import Assignment, Assignments
from serving.desk import Desk
from serving.engines.runner import RunnerEngine, socket_of
from serving.keys import KeyFile
from serving.kinds import Limits
from serving.leisure import at_leisure
from serving.logbook import Logbook
from serving.manager import Manager
from serving.page import Page
from serving.residents import Residents
from serving.routes import description, feedback, jobs, mlflow, models, operations, predict, v2
from serving.routes.parts import EXTENSION, Parts, admitted, refused
from serving.routes.proxies import Proxied
from serving.servable import Servable
from serving.stored import cost_mb_of, manifest_of, root_of

_log = logging.getLogger(__name__)
# A worker gives a version up some time before the node would give the worker up.
_PATIENCE = 0.8
_LEISURE = 1 / 3
BLUEPRINTS = (
    predict.blueprint,
    mlflow.blueprint,
    v2.blueprint,
    models.blueprint,
    operations.blueprint,
    jobs.blueprint,
    feedback.blueprint,
    description.blueprint,
)


@dataclass(frozen=True)
class StoreLoader:
    """Loads assignments from the node store."""

    settings: Settings

    def __call__(self, assignment: Assignment) -> Servable:
        """Verify, load and warm the version. Raises BundleInvalid.

        RunnerAway too, unless the version serves already: then its requests wait for its runner,
        not this worker with all its models.
        """
        settings = self.settings
        limits = Limits.of(settings)
        manifest: Manifest = manifest_of(settings.store_dir, assignment.digest)
        root = root_of(settings.store_dir, assignment.digest)
        servable = Servable.load(
            root,
            manifest,
            allowed=settings.engines,
            limits=limits,
            runner=partial(self._runner, assignment.digest),
        )
        try:
            servable.warm()
        except RunnerAway as away:
            if self._is_new(assignment):
                raise
            _log.warning("%s v%s: %s", assignment.model, assignment.version, away)
        return servable

    def cost_mb(self, assignment: Assignment) -> float:
        """What its trial measured on this node."""
        return cost_mb_of(self.settings.store_dir, assignment.digest)

    @contextmanager
    def turn(self, assignment: Assignment) -> Iterator[None]:
        """One worker of the node prepares a model at a time: the others have the machine.

        Their requests come first in this one too, unless that takes too long.
        """
        settings = self.settings
        folder = settings.node_dir / "turns"
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(assignment.model.encode()).hexdigest()[:2]
        with (folder / name).open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with at_leisure(settings.ready_seconds * _LEISURE):
                yield

    def _runner(self, digest: str, bundle: Bundle) -> RunnerEngine:
        """The engine of a version that is code; its process is started by the host of runners."""
        settings = self.settings
        return RunnerEngine.load(
            bundle,
            socket_of(settings.node_dir, digest),
            seconds=settings.runner_seconds,
            patience_seconds=settings.ready_seconds * _PATIENCE,
        )

    def _is_new(self, assignment: Assignment) -> bool:
        """Whether the node has yet to flip to it."""
        held = Assignments(self.settings.assignments_path).models().get(assignment.model)
        current = held.current if held else None
        return not current or assignment.digest not in {one.digest for one in current.versions}


def create_app(
    settings: Settings | None = None,
    *,
    manager: Manager | None = None,
    open_jobs: Callable[[], JobQueue] | None = None,
    open_outcomes: Callable[[], Outcomes] | None = None,
) -> Flask:
    """Build the application; tests hand in a manager of their own.

    `open_jobs` opens the queue of jobs, `open_outcomes` where feedback goes: this module could not
    reach a database. Without, their routes answer 503.

    When it returns, everything the node serves at this moment is loaded, or within a memory budget
    all that is pinned: a worker that accepts requests can answer them.
    """
    settings = settings or Settings.read()
    if manager is None:
        page = Page(settings.page_path)
        manager = Manager(
            page,
            Assignments(settings.assignments_path),
            StoreLoader(settings),
            slot=page.claim(os.getpid()),
            residents=Residents(settings.memory_budget_mb / settings.workers),
            pinned=settings.pinned,
            most_first_uses=max(1, settings.threads - 1),
        )
        manager.reconcile()
    app = Flask("baton", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    access = Access(KeyFile(settings.keys_path), Rates(settings.node_dir / "rates"))
    answerer = Answerer(
        manager,
        access,
        default_model=settings.default_model,
        max_body_bytes=settings.max_body_bytes,
        logbook=Logbook.of(settings),
    )
    # Where gunicorn's threads answer predictions too, jobs have half of them at most, feedback a
    # quarter.
    app.extensions[EXTENSION] = Parts(
        settings,
        manager,
        answerer,
        access,
        Desk(open_jobs, noun="queue of jobs", away=JobsAway, at_once=max(1, settings.threads // 2)),
        Desk(
            open_outcomes,
            noun="store of outcomes",
            away=FeedbackAway,
            at_once=max(1, settings.threads // 4),
        ),
    )
    app.wsgi_app = Proxied(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    app.before_request(admitted)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _server_problem)
    return app


def _http_problem(error: HTTPException) -> Response:
    """Flask's own refusals (no such path, no such method, too large) as problem documents."""
    identity = trusted_id(request.headers.get("X-Request-Id"))
    status = HTTPStatus(error.code or 500)
    response = refused(problems.Problem(status, error.description or "", identity))
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _server_problem(error: Exception) -> Response:
    """Anything unexpected in a route outside the hot path."""
    identity = trusted_id(request.headers.get("X-Request-Id"))
    current_app.logger.error("a route failed", exc_info=error, extra={"request_id": identity})
    return refused(problems.problem(error, request_id=identity))
