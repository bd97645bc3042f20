"""The prediction log: one record for every prediction that was executed, whatever became of it.

Workers write records as JSON into the spool of their node before they answer; a shipper moves them
to the sink. All of them know this file only. Pure.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One execution: what was asked, what was answered, by which version.

    `inputs` are the rows as the engine saw them, a list for each column by name (for pictures:
    format, width, height, bytes and sha256, a list each; for forecasts: what was asked); `outputs`
    a list for each output by name. Both are empty where a request was refused.
    `attempt_of` is the id a trusted proxy gave the request: records that share it are attempts of
    one prediction. It is empty where nobody trusted said so; a client's own id is `request_id`.
    """

    prediction_id: str
    request_id: str
    attempt_of: str = ""
    time: float  # seconds since 1970, UTC, at which the request came
    model: str  # empty where it was refused before one was chosen
    version: str = ""
    epoch: int | None = None
    seq: int | None = None  # as in the ledger's entry; None where no ledger said what serves
    digest: str = ""
    arm: str = "serve"
    endpoint: str  # baton, mlflow, v2, shorthand
    method: str
    key_id: str = ""
    status: int
    error: str = ""
    latency_ms: float
    rows: int = 0
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    confidence: float | None = None  # 0…1, mean over rows, where the outputs have probabilities
    last_known_price: float | None = None  # for forecasts that know one
    data_points: int | None = None  # for forecasts: how many the version learnt from

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """A record as the spool holds it; names it does not know are a newer version's."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})

    @property
    def day(self) -> datetime.date:
        """The day (UTC) it belongs to."""
        return datetime.datetime.fromtimestamp(self.time, datetime.UTC).date()


class Position(NamedTuple):
    """How far a spool is read: `offset` bytes of `segment`; later segments have higher numbers."""

    segment: int
    offset: int


class PredictionSink(Protocol):
    """Where records end; may raise Unreachable, and can then be asked again."""

    def position(self, spool: str, lane: str) -> Position:
        """How far a worker's (`lane`'s) segments of a spool are here; (0, 0) if nothing is."""

    def append(self, spool: str, lane: str, records: Sequence[Prediction], upto: Position) -> int:
        """Add records and move the position to `upto`, in one transaction; how many were new."""


class PredictionLog(Protocol):
    """What was predicted, to read. Of attempts that share `attempt_of` the highest seq counts.

    A copy that a shadow was asked (`arm`) answered nobody, and does not count.
    """

    def predictions(
        self, model: str, since: float, until: float, *, version: str | None = None
    ) -> Iterator[Prediction]:
        """Those that count with since ≤ time < until (s since 1970), oldest first, in pages."""

    def found(self, ids: Iterable[str]) -> Mapping[str, Prediction]:
        """By prediction_id; who is not there is left out."""

    def models(self, since: float, until: float) -> Sequence[str]:
        """Which models were asked in that time."""
