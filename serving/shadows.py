"""Copies of requests for the version of a shadow: asked after the answer, compared, never answered.

One thread a worker, which gives way to those that answer. What waits for it is bounded: a copy that
finds no room is dropped and counted, and nobody who was answered waits for any of it. Its Python
still takes turns with theirs: how much it costs is bounded by the shadow's share.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from registry.pairing import Answer, answers
from registry.predictions import Prediction
from serving import metrics, problems
from serving.assignments import Arm
from serving.identity import new_prediction_id
from serving.logbook import Asked, Logbook
from serving.manager import Manager
from serving.protocols import Question
from serving.servable import Servable

_log = logging.getLogger(__name__)
# A question may be as large as a request's body, and is kept for so long.
MOST_WAITING: Final = 16
_NICENESS: Final = 5
# Versions that were trained anew never agree in the last digit.
TOLERANCE: Final = 0.01
_NEARLY_NOTHING: Final = 1e-6

Outputs = Mapping[str, Any]


class Copy(NamedTuple):
    """One request, what `servable` answered, and the arm that is asked the same."""

    arm: Arm
    question: Question
    servable: Servable
    result: Mapping[str, Any]
    asked: Asked


class Shadows:
    """Of one worker; may be called by several threads."""

    def __init__(self, manager: Manager, logbook: Logbook | None = None) -> None:
        """No thread is there before the first copy."""
        self._manager, self._logbook = manager, logbook
        self._waiting: queue.Queue[Copy] = queue.Queue(MOST_WAITING)
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, copy: Copy) -> None:
        """Have the arm asked soon, if there is room."""
        try:
            self._waiting.put_nowait(copy)
        except queue.Full:
            metrics.SHADOW.labels(copy.arm.model, "dropped").inc()
        if self._thread is None:
            self._begin()

    def ask(self, copy: Copy) -> str:
        """Ask the arm now; returns what became of it, as it is counted."""
        result = self._asked(copy)
        metrics.SHADOW.labels(copy.arm.model, result).inc()
        return result

    def _asked(self, copy: Copy) -> str:
        arm = copy.arm
        serving = self._manager.beside(arm)
        if serving is None:  # it ended meanwhile
            return "dropped"
        asked, seen = copy.asked.anew(new_prediction_id()), dict[str, Any]()
        try:
            with serving:
                servable = serving.servable
                result = servable.predict(copy.question.body(servable), seen)
                outputs = servable.tensors(result)
        except Exception as error:  # noqa: BLE001 - the arm's fault, which the record tells
            if self._logbook:
                status = problems.problem(error, request_id=asked.request_id).status
                self._logbook.refused(asked, arm, error, status)
            return "failed"
        if self._logbook:
            rows = len(result["predictions"])
            known = servable.known(seen)
            self._logbook.copied(asked, arm, rows=rows, seen=seen, outputs=outputs, known=known)
        return "same" if agree(copy.servable.tensors(copy.result), outputs) else "different"

    def _begin(self) -> None:
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="shadow", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        os.nice(_NICENESS)  # of this thread alone
        while True:
            copy = self._waiting.get()
            try:
                self.ask(copy)
            except Exception:  # noqa: BLE001 - the thread must outlive any one copy
                _log.exception("a copy could not be compared")
            del copy  # nothing is kept loaded by waiting


def agree(served: Outputs, other: Outputs) -> bool:
    """Whether two versions say the same, row by row: equal classes, or numbers within TOLERANCE.

    Of outputs that are neither, as several numbers a row, all numbers count.
    """
    ours, theirs = _answers(served), _answers(other)
    if ours and theirs:
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))
    return served.keys() == other.keys() and all(
        _is_near(served[name], other[name]) for name in served
    )


def _answers(outputs: Outputs) -> list[Answer]:
    """As live accuracy reads a record."""
    lists = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in outputs.items()}
    record = Prediction(
        prediction_id="",
        request_id="",
        time=0.0,
        model="",
        endpoint="",
        method="",
        status=200,
        latency_ms=0.0,
        inputs={},
        outputs=lists,
    )
    return list(answers(record))


def _is_same(ours: Answer, theirs: Answer) -> bool:
    one, other = ours.predicted, theirs.predicted
    if ours.date != theirs.date:
        return False
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=_NEARLY_NOTHING)
    return one == other


def _is_near(one: Any, other: Any) -> bool:
    try:
        ours, theirs = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    except (TypeError, ValueError):  # texts, or a mapping a row
        return np.array_equal(np.asarray(one, dtype=object), np.asarray(other, dtype=object))
    return ours.shape == theirs.shape and np.allclose(
        theirs, ours, rtol=TOLERANCE, atol=_NEARLY_NOTHING, equal_nan=True
    )
