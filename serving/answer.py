"""One function answers a prediction request, whatever protocol and server it came through.

Bytes in, status, headers and bytes out, in one of the protocols. Routes are thin around it. It can
reach neither the registry, nor a database, nor the disk.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from registry.errors import MalformedRequest, RequestTooLarge, UnknownModel
from registry.ledger import Role
from serving import metrics, problems
from serving.access import Access
from serving.assignments import Arm, Assignment
from serving.identity import new_prediction_id, new_request_id
from serving.keys import Scope
from serving.logbook import Asked, Logbook
from serving.manager import Manager
from serving.protocols import Answered, Header, Protocol, Question
from serving.shadows import Copy, Shadows
from serving.table import Serving

_log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Made by a proxy for each request, the same for each attempt; worth something from trusted ones.
ATTEMPT_OF = "X-Attempt-Of"


class Answer(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answerer:
    """The hot path of one worker."""

    def __init__(
        self,
        manager: Manager,
        access: Access,
        *,
        default_model: str,
        max_body_bytes: int,
        logbook: Logbook | None = None,
    ) -> None:
        """`default_model` may be empty; without a logbook nothing is written down."""
        self._manager, self._access, self._logbook = manager, access, logbook
        self._shadows = Shadows(manager, logbook)
        self._default_model = default_model
        self._max_body_bytes = max_body_bytes
        self._worker = str(manager.slot)

    @property
    def presumed(self) -> str:
        """What a request means that names no model; empty if it has to name one."""
        return self._default_model or self._manager.only

    def answer(
        self,
        protocol: Protocol,
        model: str | None,
        body: bytes,
        header: Header,
        *,
        version: str | None = None,
    ) -> Answer:
        """Answer a request for `model`; None leaves the choice to the body or the default.

        `version`, if said, must be the one that answers. `header` tells of the proxy's headers
        those of trusted ones only.
        """

        def read() -> Question:
            if len(body) > self._max_body_bytes:
                raise RequestTooLarge(f"body: {len(body)} bytes, at most {self._max_body_bytes}")
            return protocol.read(body, header)

        asked = _asked(header, protocol.endpoint, "POST")
        return self._guarded(protocol, model, version, header, read, asked)

    def answer_question(
        self, protocol: Protocol, model: str, read: Callable[[], Question], header: Header
    ) -> Answer:
        """The same for a question that has no body, such as a query string's."""
        asked = _asked(header, "shorthand", "GET")
        return self._guarded(protocol, model, None, header, read, asked)

    def turned_away(
        self, protocol: Protocol, error: Exception, header: Header, answer: Answer
    ) -> None:
        """Write down a request for a prediction that was refused, as `answer`, before it was read.

        Whoever refused it saw to everything else.
        """
        if self._logbook:
            asked = _asked(header, protocol.endpoint, "POST")
            asked.request_id = answer.headers.get("X-Request-Id", asked.request_id)
            self._logbook.refused(asked, None, error, answer.status)

    def _guarded(
        self,
        protocol: Protocol,
        model: str | None,
        version: str | None,
        header: Header,
        read: Callable[[], Question],
        asked: Asked,
    ) -> Answer:
        """Answer, or turn whatever went wrong into a refusal; count both, write both down."""
        serving: Serving | None = None
        arm = ""
        try:
            if key := self._access.admit(header, Scope.PREDICT):
                asked.key_id = key.id
            question = read()
            serving = self._manager.acquire(self._named(model, question.model))
            if serving.assignment.arm is not None:
                serving = self._chosen(serving, version, header, asked)
                arm = serving.assignment.arm_name
            tally = metrics.tally(serving.assignment.model)
            answer = self._answered(serving, version, question, asked, tally)
        except Exception as error:  # noqa: BLE001 - every failure becomes a refusal
            tally = metrics.tally(serving.assignment.model if serving else "")
            tally.refused(error)
            answer = self._refused(protocol, error, asked, serving)
        tally.answered(answer.status, time.perf_counter() - asked.begun)
        if arm:
            tally.answered_by(arm, answer.status)
        return answer

    def _chosen(
        self, serving: Serving, version: str | None, header: Header, asked: Asked
    ) -> Serving:
        """Of a split, the arm that answers: the version that is meant, else by the sticky header.

        Without one each request is told apart by its id, all attempts of it alike. An arm that is
        not to be had in this worker is answered for by what serves.
        """
        arm = serving.assignment.arm
        if arm is None or arm.role is not Role.SPLIT:
            return serving
        if version is not None:
            takes = serving.assignment.named(version) is arm
        else:
            sticky = header(arm.header) if arm.header else ""
            takes = arm.takes(sticky or asked.attempt_of or asked.request_id)
        return (self._manager.beside(arm) if takes else None) or serving

    def _answered(
        self,
        serving: Serving,
        version: str | None,
        question: Question,
        asked: Asked,
        tally: metrics.Tally,
    ) -> Answer:
        seen: dict[str, Any] = {}
        assignment = serving.assignment
        require_version(assignment, version)
        with serving:
            servable = serving.servable
            before = servable.engine_seconds
            result = servable.predict(question.body(servable), seen)
            rows = len(result["predictions"])
            tally.predicted(rows, servable.engine_seconds - before)
            if led_rows := servable.take_led_rows():
                tally.joined(led_rows)
        answered = Answered(
            model=assignment.model,
            version=str(assignment.version),
            prediction_id=asked.prediction_id,
            servable=servable,
            result=result,
        )
        more, encoded = question.encode(answered)
        if self._logbook:
            outputs = servable.tensors(result)
            known = servable.known(seen)
            self._logbook.answered(
                asked, assignment, rows=rows, seen=seen, outputs=outputs, known=known
            )
        headers = self._headers(assignment)
        headers["X-Request-Id"] = asked.request_id
        headers.update(more)
        arm = assignment.arm
        if arm is not None and _is_copied(arm, asked):
            self._shadows.take(Copy(arm, question, servable, result, asked))
        return Answer(200, headers, encoded)

    def _refused(
        self, protocol: Protocol, error: Exception, asked: Asked, serving: Serving | None
    ) -> Answer:
        found = problems.problem(error, request_id=asked.request_id)
        assignment = serving.assignment if serving else None
        if found.status >= 500:
            _log.warning(
                "%s",
                error,
                exc_info=found.status == 500,
                extra={
                    "request_id": asked.request_id,
                    "model": assignment.model if assignment else "",
                    "version": str(assignment.version) if assignment else "",
                },
            )
        status, more, encoded = protocol.refuse(found)
        if self._logbook:
            self._logbook.refused(asked, assignment, error, status)
        headers = self._headers(assignment) if assignment else {}
        return Answer(status, {**headers, **more}, encoded)

    def _headers(self, assignment: Assignment) -> dict[str, str]:
        headers = {
            "X-Model-Name": assignment.model,
            "X-Model-Version": str(assignment.version),
            "X-Worker": self._worker,
        }
        if assignment.in_ledger:
            headers["X-Model-Seq"] = str(assignment.key.seq)
        if assignment.arm_name:
            headers["X-Model-Arm"] = assignment.arm_name
        return headers

    def _named(self, model: str | None, said: str | None) -> str:
        """Which model is meant: by the path, by the body, or by there being only one."""
        if model is not None and said not in (None, model):
            raise MalformedRequest(f"model: expected {model!r} as in the path, got {said!r}")
        if model is not None or said is not None:
            return self._manager.meant(model or said or "")
        presumed = self.presumed
        served = () if presumed else self._manager.models()
        if not served:
            return presumed
        raise MalformedRequest(
            f'several models are served: post to /models/<name>/predict, or say "model"; there is: '
            f"{', '.join(sorted(served))}"
        )


def require_version(assignment: Assignment, version: str | None) -> None:
    """Raise UnknownModel if another version is meant than the one that serves."""
    if version not in (None, str(assignment.version)):
        raise UnknownModel(
            f"{assignment.model}: version {version} is not served here, {assignment.version} is"
        )


def _asked(header: Header, endpoint: str, method: str) -> Asked:
    """A request that came just now."""
    attempt_of = header(ATTEMPT_OF)
    if attempt_of and not _REQUEST_ID.fullmatch(attempt_of):
        attempt_of = ""
    identity = trusted_id(header("X-Request-Id"))
    return Asked(new_prediction_id(), identity, attempt_of or "", endpoint, method)


def _is_copied(arm: Arm, asked: Asked) -> bool:
    return arm.role is Role.SHADOW and arm.takes(asked.attempt_of or asked.request_id)


def trusted_id(given: str | None) -> str:
    """The client's request id if it has the agreed form, else one of ours."""
    return given if given and _REQUEST_ID.fullmatch(given) else new_request_id()
