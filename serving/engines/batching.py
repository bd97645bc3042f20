"""An engine whose busy moments are shared: what comes during a call goes into the next one.

A request that finds the engine idle is asked at once, alone: nothing is ever held back to wait for
others. It has no thread of its own: of the threads that wait, one leads the next call. Used for
versions that declare it (`registry/batching.py`, docs/adr/0014-batching.md).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from registry.rowwise import Arrays, is_row_wise
from registry.signature import Tensor
from serving.deadline import seconds_left, too_late
from serving.engines.joining import Form, form_of, joined, parted, rows_of
from serving.engines.recorder import Recorder

_log = logging.getLogger(__name__)


class Graph(Protocol):
    """An engine with named inputs and outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Named arrays in, named arrays or lists out."""


@dataclass(eq=False)
class _Asked:
    """One thread's request; `told` once it leads, has its answer, or has to go alone."""

    inputs: Arrays
    form: Form
    rows: int
    leads: bool = False
    answer: Arrays | None = None
    told: threading.Event = field(default_factory=threading.Event)


class Batched:
    """One engine, asked by one thread at a time for all that wait."""

    def __init__(self, engine: Graph, *, most_rows: int) -> None:
        """Put requests together up to `most_rows` rows; a request of so many goes by itself."""
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._engine = engine
        self._most_rows = most_rows
        self._joins = all(tensor.shape[:1] == (-1,) for tensor in engine.inputs)
        self._lock = threading.Lock()
        self._is_busy = False
        self._waiting: deque[_Asked] = deque()
        self._led = threading.local()

    def run(self, inputs: Arrays) -> Arrays:
        """As the engine's own; an error is that of this request and of no other.

        Raises Overloaded if the request's time runs out before its call.
        """
        form = form_of(inputs) if self._joins else None
        if form is None or rows_of(inputs) >= self._most_rows:
            return self._engine.run(inputs)
        mine = _Asked(inputs, form, rows_of(inputs))
        try:
            self._come(mine)
            if not mine.leads and not mine.told.wait(seconds_left()):
                raise too_late()
            if mine.leads:
                self._lead(mine)
        finally:
            self._go(mine)
        return self._engine.run(inputs) if mine.answer is None else mine.answer

    def take_led_rows(self) -> int:
        """Rows of the last call that this thread led, for itself and others; told once, else 0."""
        rows, self._led.rows = getattr(self._led, "rows", 0), 0
        return rows

    def is_row_wise(self, asked: list[Arrays], *, rtol: float, atol: float) -> bool:
        """Whether the engine answers the rows in `asked` alike, together and alone."""
        return is_row_wise(self._engine.run, self.inputs, asked, rtol=rtol, atol=atol)

    @contextmanager
    def recording(self) -> Iterator[list[Arrays]]:
        """Keep what the engine is asked within the block; for a trial, where one thread asks."""
        recorder = Recorder(self._engine)
        self._engine = recorder
        try:
            yield recorder.asked
        finally:
            self._engine = recorder.engine

    def _come(self, mine: _Asked) -> None:
        """Lead if the engine is idle, else wait."""
        with self._lock:
            if self._is_busy:
                self._waiting.append(mine)
            else:
                self._is_busy = mine.leads = True

    def _go(self, mine: _Asked) -> None:
        """Who led has the first that waits lead next, however its own call ended."""
        with self._lock:
            if mine.leads:
                self._is_busy = bool(self._waiting)
                if self._waiting:
                    following = self._waiting.popleft()
                    following.leads = True
                    following.told.set()
            elif mine in self._waiting:  # its wait was broken off
                self._waiting.remove(mine)

    def _lead(self, mine: _Asked) -> None:
        """One call for it and what waits; whoever has no answer after it goes alone."""
        batch = self._take(mine)
        self._led.rows = sum(one.rows for one in batch)
        if len(batch) == 1:
            mine.answer = self._engine.run(mine.inputs)
            return
        try:
            self._ask(batch)
        finally:
            for other in batch[1:]:
                other.told.set()

    def _take(self, mine: _Asked) -> list[_Asked]:
        """It, and those that wait, are alike and fit into one call."""
        batch, rest, rows = [mine], deque[_Asked](), mine.rows
        with self._lock:
            for one in self._waiting:
                if one.form == mine.form and rows + one.rows <= self._most_rows:
                    batch.append(one)
                    rows += one.rows
                else:
                    rest.append(one)
            self._waiting = rest
        return batch

    def _ask(self, batch: list[_Asked]) -> None:
        try:
            answer = self._engine.run(joined([one.inputs for one in batch]))
        except Exception:  # noqa: BLE001 - one of them is to blame: each alone will tell which
            return
        parts = parted(answer, [one.rows for one in batch])
        if parts is None:
            self._joins = False
            _log.warning("an answer has not one row for each that was asked: nothing is joined")
            return
        for one, part in zip(batch, parts, strict=True):
            one.answer = part
