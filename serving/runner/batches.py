"""Which requests share one predict: those that came while the last one ran, if they are alike.

A request that finds the model idle is asked at once: nothing is held back to wait for others. Knows
no socket and no MLflow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from registry.rowwise import Arrays, Run
from serving.engines.joining import Form, form_of, joined, parted, rows_of


@dataclass(eq=False)
class Job:
    """One request: its arrays, and where its answer goes. Nobody waits for it behind `deadline`."""

    arrays: Arrays
    deadline: float
    future: Future[Arrays] = field(default_factory=Future)

    @property
    def form(self) -> Form | None:
        """Names, types and inner shapes; None for what has no rows that could be joined."""
        return form_of(self.arrays)

    @property
    def rows(self) -> int:
        """How many rows, for a request that has a form."""
        return rows_of(self.arrays)


class Batches:
    """A queue in front of one model, which one thread works off."""

    def __init__(
        self,
        run: Run,
        *,
        most_rows: int,
        limit: Callable[[], AbstractContextManager[object]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join requests up to `most_rows`; 1 joins none. `limit` surrounds each call of `run`."""
        self._run = run
        self._most_rows = most_rows
        self._limit = limit
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._arrived = threading.Condition()

    def submit(self, arrays: Arrays, *, deadline: float) -> Future[Arrays]:
        """Queue a request; the future raises TimeoutError if its turn came too late."""
        job = Job(arrays, deadline)
        with self._arrived:
            self._waiting.append(job)
            self._arrived.notify()
        return job.future

    def serve(self) -> None:
        """Work off the queue for ever."""
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting)
            self.step()

    def step(self) -> int:
        """Ask the model what waits first, with what goes along; returns how many requests."""
        batch = self._take()
        if len(batch) < 2 or not self._together(batch):
            for job in batch:
                self._alone(job)
        return len(batch)

    def _take(self) -> list[Job]:
        """The first request that is still waited for, and later ones that are alike."""
        with self._arrived:
            now = self._clock()
            waiting = [job for job in self._waiting if not _is_late(job, now)]
            if not waiting:
                self._waiting.clear()
                return []
            batch, form = waiting[:1], waiting[0].form
            rows = waiting[0].rows if form else self._most_rows
            for job in waiting[1:]:
                if (
                    rows < self._most_rows
                    and job.form == form
                    and (rows + job.rows <= self._most_rows)
                ):
                    batch.append(job)
                    rows += job.rows
            self._waiting = deque(job for job in waiting if job not in batch)
            return batch

    def _together(self, batch: list[Job]) -> bool:
        """One predict for all; False if it failed or cannot be told apart: nobody is answered."""
        try:
            with self._limit():
                answer = self._run(joined([job.arrays for job in batch]))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - one of them is to blame: each alone will tell which
            return False
        parts = parted(answer, [job.rows for job in batch])
        for job, part in zip(batch, parts or (), strict=False):
            job.future.set_result(part)
        return parts is not None

    def _alone(self, job: Job) -> None:
        if _is_late(job, self._clock()):
            return
        try:
            with self._limit():
                answer = self._run(job.arrays)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - the error is this request's answer
            job.future.set_exception(error)
        else:
            job.future.set_result(answer)


def _is_late(job: Job, now: float) -> bool:
    """Whether nobody waits for a request any more; it is told so."""
    if now <= job.deadline:
        return False
    job.future.set_exception(TimeoutError("its turn came too late"))
    return True
