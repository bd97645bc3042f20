"""The whole error tree, along the path of a model version and of a request.

    BatonError
    ├── UsageError            what a person typed or set
    │   ├── SettingsError         a BATON_… value, a file of gates
    │   ├── UnknownName           a workload, series, model, version, parameter that is not there
    │   └── ForeignLedger         this registry's history is kept in another ledger
    ├── Refused               what the gates or the history do not allow
    │   ├── GatesRefused          a candidate failed a gate
    │   └── NothingToServe        no earlier version to go back to
    ├── Unreachable           registry, ledger or object store do not answer
    ├── StepFailed            a training step could not do its work
    │   └── DataInvalid           … because of a row of its data
    ├── Underway              is being done beside the caller, who should ask again
    ├── LostRace              somebody else changed Production in between
    ├── LeaseLost             this registrar is no longer the one that may write to MLflow
    ├── ChainBroken           the ledger is not what was appended to it
    ├── BundleInvalid         files of a version: missing, changed, not loadable
    │   ├── TrialFailed           … or answering wrongly in the trial
    │   └── NotPackaged           … or code, which cannot be converted to what workers load
    ├── RequestError          what a client sent
    │   ├── MalformedRequest      not JSON, or not one of the known envelopes
    │   ├── SignatureMismatch     names the field, what was expected and what came
    │   ├── UnknownModel          no such model is served here
    │   ├── AmbiguousModel        several models have the ticker that was asked for
    │   ├── RequestTooLarge       bytes, rows, pixels or horizon over the limit
    │   ├── UnsupportedMediaType
    │   ├── Unauthenticated       no API key, or none of this server
    │   ├── Forbidden             the key's scopes do not include this
    │   ├── TooManyRequests       beyond the key's rate, or its jobs
    │   ├── UnknownJob            no such job, or another key's
    │   ├── JobOver               a job that ended cannot be cancelled
    │   └── KeyReused             an idempotency key that came with another request
    ├── NotReady              nothing is loaded for this model yet
    │   ├── RunnerAway            … or the process that runs it is away, or too slow
    │   └── JobsAway              … or the queue of jobs cannot be reached
    ├── NotLogged             a prediction cannot be written down: the log or its disk is full
    ├── Overloaded            more requests wait than will be answered in time
    ├── ModelFailed           a model raised an error of its own
    ├── NotFinite             a model answered NaN or Infinity
    ├── WrongShape            a model answered another number of rows than it was asked
    └── NoProbabilities       a model of pictures answered what no probability can be

A message names the thing, what was expected, what came, and what to do. The tree knows no HTTP
(`serving/problems.py` has that table) and no exit codes (`registry/console.py` has that one).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class BatonError(Exception):
    """Every error Baton raises on purpose."""


class UsageError(BatonError):
    """Something a person typed or set cannot be used."""


class SettingsError(UsageError):
    """A setting or a configuration file has a value that cannot be used."""


class UnknownName(UsageError):
    """A name that does not exist; the message lists those that do."""

    def __init__(self, thing: str, asked: str, existing: Iterable[object]) -> None:
        """`thing` is the noun ("workload"), `asked` what was typed, `existing` what there is."""
        known = ", ".join(str(name) for name in existing) or "none yet"
        super().__init__(f"unknown {thing} {asked!r}; there is: {known}")
        self.thing = thing
        self.asked = asked


class ForeignLedger(UsageError):
    """The registered model carries the id of another ledger."""


class Refused(BatonError):
    """Rules, not faults, forbid this change of Production."""


class GatesRefused(Refused):
    """A candidate failed at least one gate; `report` (a PromotionReport) says which and why."""

    def __init__(self, message: str, report: Any) -> None:
        """`report` is not typed here: this file imports nothing of ours."""
        super().__init__(message)
        self.report = report


class NothingToServe(Refused):
    """There is no earlier version that could be gone back to."""


class Unreachable(BatonError):
    """The registry, the ledger or the artifact store cannot be reached."""


class StepFailed(BatonError):
    """A step of the training pipeline could not do its work."""


class DataInvalid(StepFailed):
    """Data that must not be trained on; the message names the file and the row."""


class Underway(BatonError):
    """What was asked for is being done, and takes a while; ask again later."""


class LostRace(BatonError):
    """The head of the ledger moved between judging and appending."""


class LeaseLost(BatonError):
    """The lease was not renewed in time: another registrar may be writing to MLflow by now."""


class ChainBroken(BatonError):
    """An entry of the ledger was changed, removed or put in; the message names the first."""


class BundleInvalid(BatonError):
    """A version's files are missing, changed or cannot be loaded."""


class TrialFailed(BundleInvalid):
    """A version crashed, hung or answered wrongly in its trial."""


class NotPackaged(BundleInvalid):
    """A version that is code cannot be converted to what workers load."""


class RequestError(BatonError):
    """A client's mistake; never the server's."""


class MalformedRequest(RequestError):
    """The body is not JSON, or not exactly one of the known envelopes."""


class SignatureMismatch(RequestError):
    """A value does not fit the model's signature."""

    def __init__(self, field: str, *, expected: str, got: str, detail: str = "") -> None:
        """`field` as the client wrote it; `expected` and `got` in words or types."""
        tail = f"; {detail}" if detail else ""
        super().__init__(f"{field}: expected {expected}, got {got}{tail}")
        self.field = field
        self.expected = expected
        self.got = got


class UnknownModel(RequestError):
    """No model of this name is served here."""


class AmbiguousModel(RequestError):
    """Several models have the ticker that was asked for; the message lists them."""


class RequestTooLarge(RequestError):
    """The request is over a limit: bytes, rows, pixels or horizon."""


class UnsupportedMediaType(RequestError):
    """The body's content type is not one this route reads."""


class Unauthenticated(RequestError):
    """An API key is needed, and none came that is known."""


class Forbidden(RequestError):
    """The API key is known, and may not do this."""


class TooManyRequests(RequestError):
    """The API key asks more often than it may, or has as many jobs as it may."""

    def __init__(self, message: str, *, seconds: float) -> None:
        """It may ask again in `seconds`."""
        super().__init__(message)
        self.seconds = seconds


class UnknownJob(RequestError):
    """There is no such job, or it is another key's."""


class JobOver(RequestError):
    """The job has ended: there is nothing to cancel."""


class KeyReused(RequestError):
    """An idempotency key came again, with another request."""


class NotReady(BatonError):
    """Nothing is loaded yet that could answer; try again shortly."""


class RunnerAway(NotReady):
    """The process that runs this version is away or did not answer in time; try again shortly."""


class JobsAway(NotReady):
    """The queue of jobs cannot be reached; try again shortly."""


class NotLogged(BatonError):
    """A prediction cannot be written down, so it is not answered; try again shortly."""


class Overloaded(BatonError):
    """This worker has more to do than it can answer in time; try again shortly."""


class ModelFailed(BatonError):
    """A model that runs in a process of its own raised an error there; its log has the cause."""


class NotFinite(BatonError):
    """A model answered NaN or Infinity; such an answer is never sent."""


class WrongShape(BatonError):
    """A model answered another number of rows than it was asked; such an answer is never sent."""


class NoProbabilities(BatonError):
    """A model answered numbers below 0 or above 1 where probabilities belong."""
