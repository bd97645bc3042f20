"""What a rule says of a model: fine, raised, or that it cannot tell. Too few is never fine."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What a rule can say."""

    FINE = "fine"
    RAISED = "raised"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One rule's word on `samples` predictions (rows) with since ≤ time < until (s since 1970).

    `column` is set where a rule looks at each by itself; `value` is None where nothing was there to
    compute it from; `why` says what is missing where the state is unknown.
    """

    rule: str
    state: State
    value: float | None
    threshold: float
    samples: int
    needed: int
    since: float
    until: float
    column: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        """The rule, and the column it looked at."""
        return f"{self.rule} of {self.column}" if self.column else self.rule

    def __str__(self) -> str:
        """A sentence, as people and MLflow are told."""
        told = "nothing" if self.value is None else f"{self.value:.4g}"
        said = (
            f"{self.name}: {self.state}: {told} against {self.threshold:.4g} on {self.samples} of "
            f"at least {self.needed}, {_moment(self.since)} to {_moment(self.until)}"
        )
        return f"{said}: {self.why}" if self.why else said

    def to_json(self) -> dict[str, Any]:
        """As kept with a window."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a rule looked at, before it says anything; the names are those of `Verdict`."""

    rule: str
    samples: int
    needed: int
    since: float
    until: float
    column: str = ""

    def verdict(
        self, value: float | None, threshold: float, *, is_raised_below: bool = False, why: str = ""
    ) -> Verdict:
        """Unknown without a value or on too few, else by the threshold, which itself is fine."""
        if value is None or self.samples < self.needed:
            state = State.UNKNOWN
            why = why or f"expected {self.needed} at least, got {self.samples}"
        elif (value < threshold) if is_raised_below else (value > threshold):
            state = State.RAISED
        else:
            state = State.FINE
        return Verdict(
            rule=self.rule,
            column=self.column,
            state=state,
            value=value,
            threshold=threshold,
            samples=self.samples,
            needed=self.needed,
            since=self.since,
            until=self.until,
            why=why if state is State.UNKNOWN else "",
        )


def _moment(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
