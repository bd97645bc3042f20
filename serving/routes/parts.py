"""What routes are handed by the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Response, current_app

from registry.settings import Settings
from serving.answer import Answer, Answerer
from serving.manager import Manager
from serving.problems import Problem
from serving.protocols.baton import Baton

EXTENSION = "baton"


@dataclass(frozen=True)
class Parts:
    """The worker's parts."""

    settings: Settings
    manager: Manager
    answerer: Answerer


def parts() -> Parts:
    """The parts of the application that handles this request."""
    return cast("Parts", current_app.extensions[EXTENSION])


def refused(problem: Problem) -> Response:
    """A refusal in Baton's own protocol."""
    return respond(Answer(*Baton().refuse(problem)))


def respond(answer: Answer) -> Response:
    """An answer as Flask sends it."""
    return Response(answer.body, answer.status, dict(answer.headers))
