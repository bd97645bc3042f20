"""What a recorded history of requests must hold, whatever happened to the server meanwhile.

Pure: observations in, violations in words out. It is handed the offline prediction, so it knows no
model; it is shown to fail on planted faults in `tests/unit/test_serving_checker.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Predict = Callable[[str, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One attempt at a request, as its client saw it; times in seconds of one monotonic clock.

    `status` 0 is a connection that broke. `version` and `seq` are the headers of the answer.
    """

    id: str
    begun: float
    ended: float
    status: int
    version: str = ""
    seq: int = 0
    request: Any = None
    answer: Any = None

    @property
    def answered(self) -> bool:
        """Whether this attempt got what it asked for."""
        return 200 <= self.status < 300


def violations(
    history: Sequence[Observation], *, ids: Collection[str], predict: Predict
) -> list[str]:
    """Everything that is wrong with a history; empty if it holds.

    (a) each of `ids` got exactly one 2xx, and nothing else was answered; (b) each answer is what
    `predict(version, request)` gives for the version in its header, KeyError for a version that
    never was; (c) `seq` never goes back between two answers of which one ended before the other
    began.
    """
    answered = [one for one in history if one.answered]
    return [
        *_not_once(history, answered, ids),
        *_wrong(answered, predict),
        *_went_back(answered),
    ]


def _not_once(
    history: Sequence[Observation], answered: Sequence[Observation], ids: Collection[str]
) -> Iterator[str]:
    counts = Counter(one.id for one in answered)
    statuses = {one.id: one.status for one in history}
    for identity in ids:
        if counts[identity] != 1:
            last = statuses.get(identity, "none")
            yield f"{identity}: answered {counts[identity]} times, last status {last}"
    for identity in counts.keys() - set(ids):
        yield f"{identity}: answered, but never asked"


def _wrong(answered: Sequence[Observation], predict: Predict) -> Iterator[str]:
    for one in answered:
        try:
            expected = predict(one.version, one.request)
        except KeyError:
            yield f"{one.id}: answered by v{one.version}, which never was"
            continue
        if one.answer != expected:
            yield (
                f"{one.id}: v{one.version} answered {one.answer!r} to {one.request!r}, "
                f"offline it is {expected!r}"
            )


def _went_back(answered: Sequence[Observation]) -> Iterator[str]:
    """One sweep in the order of beginnings, over what had ended before each."""
    by_end = sorted(answered, key=lambda one: one.ended)
    newest: Observation | None = None
    ended = 0
    for one in sorted(answered, key=lambda one: one.begun):
        while ended < len(by_end) and by_end[ended].ended < one.begun:
            if newest is None or by_end[ended].seq > newest.seq:
                newest = by_end[ended]
            ended += 1
        if newest is not None and one.seq < newest.seq:
            yield f"{one.id}: seq {one.seq}, though {newest.id} had ended with {newest.seq}"
