"""What a recorded history of requests must hold, whatever happened to the server meanwhile.

Pure: observations in, violations in words out. It is handed the offline prediction, so it knows no
model; it is shown to fail on planted faults in `tests/unit/test_serving_checker.py`. It reads the
observations once, so a million of them can come from a file.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.history import Observation
from registry.predictions import Prediction

Predict = Callable[[str, Any], Any]


def violations(
    history: Iterable[Observation],
    *,
    ids: Collection[str],
    predict: Predict,
    rtol: float = 0.0,
    atol: float = 0.0,
) -> list[str]:
    """Everything that is wrong with a history; empty if it holds.

    (a) each of `ids` got exactly one 2xx, and nothing else was answered; (b) each answer is what
    `predict(version, request)` gives for the version in its header, KeyError for a version that
    never was: bit for bit, or within a golden tolerance where requests are batched; (c) `seq` never
    goes back between two answers of which one ended before the other began.
    """
    seen = _Seen()
    wrong: list[str] = []
    for one in history:
        seen.take(one)
        if one.answered:
            wrong += _wrong(one, predict, rtol, atol)
    return [*seen.not_once(ids), *wrong, *seen.went_back()]


def went_back(history: Iterable[Observation]) -> list[str]:
    """Only (c), for histories whose answers cannot be predicted."""
    seen = _Seen()
    for one in history:
        seen.take(one)
    return list(seen.went_back())


def unlogged(
    history: Iterable[Observation], records: Iterable[Prediction], *, with_others: bool = False
) -> list[str]:
    """(d): every answered request is in the prediction log once, with the version it says.

    Requests are told by their `request_id`. Records that share `attempt_of` are attempts of one
    prediction, of which the one with the highest seq counts; an attempt that nobody saw the answer
    of (its connection broke) may be there too. A `prediction_id` that comes twice was logged twice.
    What is in the log and answered nobody in the history is wrong as well, unless `with_others`
    says that others were asked beside it.
    """
    logged = _Logged()
    for record in records:
        logged.take(record)
    return [*logged.doubled, *logged.missing(history, with_others=with_others)]


@dataclass
class _Logged:
    """The answers in a log, compactly: (version, seq) of each prediction, by request."""

    ids: set[str] = field(default_factory=set)
    doubled: list[str] = field(default_factory=list)
    found: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)

    def take(self, one: Prediction) -> None:
        """Remember one more record."""
        if one.prediction_id in self.ids:
            self.doubled.append(f"{one.request_id}: {one.prediction_id} is in the log twice")
        self.ids.add(one.prediction_id)
        if not 200 <= one.status < 300:
            return
        which, seq = one.attempt_of or one.prediction_id, one.seq or 0
        attempts = self.found.setdefault(one.request_id, {})
        if which not in attempts or attempts[which][1] < seq:
            attempts[which] = (one.version, seq)

    def missing(self, history: Iterable[Observation], *, with_others: bool) -> Iterator[str]:
        """What is not as it was answered; reads the history once."""
        said: dict[str, tuple[str, int]] = {}
        broken: Counter[str] = Counter()
        for one in history:
            if one.answered:
                said[one.id] = (one.version, one.seq)
            else:
                broken[one.id] += 1
        for identity, answer in said.items():
            yield from self._unlike(identity, answer, broken[identity])
        if not with_others:
            for identity in self.found.keys() - said.keys() - broken.keys():
                yield f"{identity}: in the log, but nobody was answered that"

    def _unlike(self, identity: str, answer: tuple[str, int], broken: int) -> Iterator[str]:
        there = list(self.found.get(identity, {}).values())
        version, seq = answer
        if answer not in there:
            got = " and ".join(f"v{v} seq {s}" for v, s in there) or "nothing"
            yield f"{identity}: answered by v{version} seq {seq}, in the log is {got}"
        elif not 1 <= len(there) <= 1 + broken:
            yield f"{identity}: in the log {len(there)} times, answered once"


@dataclass
class _Seen:
    """What has to be remembered of every observation, compactly."""

    answers: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    begun: array[float] = field(default_factory=lambda: array("d"))
    ended: array[float] = field(default_factory=lambda: array("d"))
    seqs: array[int] = field(default_factory=lambda: array("q"))

    def take(self, one: Observation) -> None:
        """Remember one more."""
        if not one.answered:
            self.unanswered[one.id] = one.status
            return
        self.answers[one.id] = self.answers.get(one.id, 0) + 1
        self.ids.append(one.id)
        self.begun.append(one.begun)
        self.ended.append(one.ended)
        self.seqs.append(one.seq)

    def not_once(self, ids: Collection[str]) -> Iterator[str]:
        """What was not answered exactly once, and what was answered unasked."""
        for identity in ids:
            count = self.answers.get(identity, 0)
            if count != 1:
                last = self.unanswered.get(identity, 200 if count else "none")
                yield f"{identity}: answered {count} times, last status {last}"
        for identity in self.answers.keys() - set(ids):
            yield f"{identity}: answered, but never asked"

    def went_back(self) -> Iterator[str]:
        """One sweep: each answer against the highest seq that had ended before it began."""
        if not self.ids:
            return
        begun, ended = np.array(self.begun), np.array(self.ended)
        seqs = np.array(self.seqs)
        by_end = np.argsort(ended, kind="stable")
        highest = np.maximum.accumulate(seqs[by_end])
        before = np.searchsorted(ended[by_end], begun, side="left")
        known = before > 0
        lower = np.zeros(len(seqs), dtype=bool)
        lower[known] = seqs[known] < highest[before[known] - 1]
        for at in np.flatnonzero(lower):
            newest = highest[before[at] - 1]
            first = by_end[np.argmax(highest == newest)]
            yield (
                f"{self.ids[at]}: seq {seqs[at]}, though {self.ids[first]} had ended with {newest}"
            )


def _wrong(one: Observation, predict: Predict, rtol: float, atol: float) -> Iterator[str]:
    try:
        expected = predict(one.version, one.request)
    except KeyError:
        yield f"{one.id}: answered by v{one.version}, which never was"
        return
    if one.answer != expected and not _close(one.answer, expected, rtol, atol):
        yield (
            f"{one.id}: v{one.version} answered {one.answer!r} to {one.request!r}, "
            f"offline it is {expected!r}"
        )


def _close(got: Any, expected: Any, rtol: float, atol: float) -> bool:
    """Whether two answers of the same shape differ by no more than the tolerance."""
    if isinstance(expected, list):
        same = isinstance(got, list) and len(got) == len(expected)
        return same and all(_close(*pair, rtol, atol) for pair in zip(got, expected, strict=True))
    if not isinstance(got, (int, float)) or not isinstance(expected, (int, float)):
        return bool(got == expected)
    return math.isclose(got, expected, rel_tol=rtol, abs_tol=atol)
