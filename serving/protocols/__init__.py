"""The protocols a prediction can be asked for in: how a question is read, answered and refused.

One file a protocol. None of them knows a web server: bytes and headers in, bytes and headers out.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

if typing.TYPE_CHECKING:
    from serving.problems import Problem
    from serving.servable import Servable

Header = Callable[[str], str | None]


class Answered(typing.NamedTuple):
    """What a version answered to one question."""

    model: str
    version: str
    prediction_id: str
    servable: Servable
    result: Mapping[str, Any]


class Question(typing.Protocol):
    """One request, read."""

    @property
    def model(self) -> str | None:
        """The model that the body itself names."""

    def body(self, servable: Servable) -> Mapping[str, Any]:
        """The request in the kind's own words. Raises RequestError."""

    def encode(self, answered: Answered) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of the answer. Raises RequestError."""


class Protocol(typing.Protocol):
    """One way to ask; `endpoint` is its name in the prediction log."""

    @property
    def endpoint(self) -> str:
        """As above."""

    def read(self, body: bytes, header: Header) -> Question:
        """Read a request's body, by its headers. Raises RequestError."""

    def refuse(self, problem: Problem) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of a refusal."""
