"""What one worker writes down of each prediction before its answer leaves, and of each refusal.

Called by `serving/answer.py`. A record is a JSON object with the names of
`registry.predictions.Prediction`; it is made without that class, since each microsecond here is one
of every request. Where it goes, and how it gets from there to the prediction log: serving/spool,
serving/shipping.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol, Self

from registry.errors import NotLogged
from registry.ledger import Role
from registry.monitoring import Kept, Monitoring, log_key
from registry.settings import Settings
from serving import metrics
from serving.assignments import Assignment
from serving.logged_values import confidence, dumped, kept
from serving.spool.writer import Writer

_MOST_TEXT: Final = 300
# Refusals and copies leave room: whoever sends nonsense must not fill the log up for others.
_REFUSALS_WITHIN: Final = 0.5
_NOTHING: Final[Mapping[str, Any]] = {}
_ALL: Final = Kept()
_PRECISION: Final = 4


class Spool(Protocol):
    """Where records are appended; see `serving.spool.writer.Writer`."""

    def append(self, record: bytes, *, within: float = 1.0) -> None:
        """Write one down. Raises NotLogged."""


class Asked:
    """One request, as far as its record is concerned; one is made for each."""

    __slots__ = (
        "attempt_of",
        "begun",
        "endpoint",
        "key_id",
        "method",
        "prediction_id",
        "request_id",
        "time",
    )

    def __init__(
        self, prediction_id: str, request_id: str, attempt_of: str, endpoint: str, method: str
    ) -> None:
        """It came just now."""
        self.begun, self.time = time.perf_counter(), time.time()
        self.prediction_id, self.request_id = prediction_id, request_id
        self.attempt_of, self.endpoint, self.method = attempt_of, endpoint, method
        self.key_id = ""

    def anew(self, prediction_id: str) -> Asked:
        """The same as it is asked of another version now: no attempt of what was answered."""
        made = Asked(prediction_id, self.request_id, "", self.endpoint, self.method)
        made.time, made.key_id = self.time, self.key_id
        return made


class Logbook:
    """Of one worker; may be called by several threads."""

    def __init__(
        self,
        spool: Spool,
        monitoring: Monitoring | None = None,
        *,
        key: bytes = b"",
        must_log: bool = True,
    ) -> None:
        """`key` is for columns that are hashed; without `must_log` what has no room is dropped."""
        self._spool, self._monitoring = spool, monitoring or Monitoring()
        self._key, self._must_log = key, must_log
        self._policies: dict[str, Kept] = {}

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """As this node is set; None where nothing is logged. Raises SettingsError."""
        if not settings.logs_predictions:
            return None
        monitoring = Monitoring.read(settings.monitoring)
        spool = Writer(
            settings.spool_dir,
            most_bytes=settings.spool_mb * 1024 * 1024,
            workers=settings.workers,
        )
        return cls(
            spool,
            monitoring,
            key=log_key(settings.log_key_path) if monitoring.hashes else b"",
            must_log=settings.spool_full == "refuse",
        )

    def answered(
        self,
        asked: Asked,
        assignment: Assignment,
        *,
        rows: int,
        seen: Mapping[str, Any],
        outputs: Mapping[str, Any],
        known: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """A prediction that is about to be answered; `known` is more of the record, by name.

        Raises NotLogged if it cannot be written down, and then must not be answered.
        """
        try:
            self._executed(asked, assignment, rows, seen, outputs, known, 1.0)
        except NotLogged:
            if self._must_log:
                raise
            metrics.LOG_DROPPED.inc()

    def copied(
        self,
        asked: Asked,
        arm: Assignment,
        *,
        rows: int,
        seen: Mapping[str, Any],
        outputs: Mapping[str, Any],
        known: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """What a version said that answered nobody; dropped where there is little room."""
        try:
            self._executed(asked, arm, rows, seen, outputs, known, _REFUSALS_WITHIN)
        except NotLogged:
            metrics.LOG_DROPPED.inc()

    def _executed(
        self,
        asked: Asked,
        assignment: Assignment,
        rows: int,
        seen: Mapping[str, Any],
        outputs: Mapping[str, Any],
        known: Mapping[str, Any],
        within: float,
        /,
    ) -> None:
        policy = self._policy(assignment.model)
        if policy is not _ALL:
            if not _is_sampled(asked, policy.sample):
                return
            seen = kept(seen, policy, self._key)
            known = _NOTHING if policy.is_private else known  # it may be a client's own
        record = self._record(
            asked, assignment, 200, "", rows, seen, outputs, confidence(outputs), known
        )
        self._spool.append(record, within=within)

    def refused(
        self, asked: Asked, assignment: Assignment | None, error: BaseException, status: int
    ) -> None:
        """A request that was refused with `status`; dropped where there is little room."""
        policy = self._policy(assignment.model) if assignment else _ALL
        if not _is_sampled(asked, policy.sample):
            return
        # A message may name what a client sent.
        text = "" if policy.is_private else f": {str(error)[:_MOST_TEXT]}"
        record = self._record(
            asked, assignment, status, f"{type(error).__name__}{text}", 0, _NOTHING, _NOTHING, None
        )
        try:
            self._spool.append(record, within=_REFUSALS_WITHIN)
        except NotLogged:
            metrics.LOG_DROPPED.inc()

    def _policy(self, model: str) -> Kept:
        """A model's policy; `_ALL` itself where it keeps everything."""
        try:
            return self._policies[model]
        except KeyError:
            found = self._monitoring.of(model)
            whole = found.sample >= 1 and not found.is_private
            policy = self._policies[model] = _ALL if whole else found
            return policy

    def _record(  # noqa: PLR0913, PLR0917 - by position, since each request pays for it
        self,
        asked: Asked,
        assignment: Assignment | None,
        status: int,
        error: str,
        rows: int,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        confident: float | None,
        known: Mapping[str, Any] = _NOTHING,
        /,
    ) -> bytes:
        in_ledger = assignment is not None and assignment.in_ledger
        return dumped(
            {
                "prediction_id": asked.prediction_id,
                "request_id": asked.request_id,
                "attempt_of": asked.attempt_of,
                "time": asked.time,
                "model": assignment.model if assignment else "",
                "version": str(assignment.version) if assignment else "",
                "epoch": assignment.key.epoch if assignment and in_ledger else None,
                "seq": assignment.key.seq if assignment and in_ledger else None,
                "digest": assignment.digest if assignment else "",
                "arm": assignment.role if assignment else Role.SERVE,
                "endpoint": asked.endpoint,
                "method": asked.method,
                "key_id": asked.key_id,
                "status": status,
                "error": error,
                "latency_ms": round((time.perf_counter() - asked.begun) * 1000, _PRECISION),
                "rows": rows,
                "inputs": inputs,
                "outputs": outputs,
                "confidence": confident,
                **known,
            }
        )


def _is_sampled(asked: Asked, share: float) -> bool:
    """Whether it is one of the share that is kept; attempts of one request are, or none is."""
    if share >= 1:
        return True
    identity = asked.attempt_of or asked.prediction_id
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") < share * 2**32
