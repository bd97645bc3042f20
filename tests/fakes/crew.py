"""A crew that does its tasks here, when they are waited for, and remembers what was out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from training.crew import Closing, WorkerLost


class InlineCrew(Closing):
    """The `Crew` port. `loses` says of a task how often its process ends over it."""

    def __init__(self, work: Callable[[Any], Any], *, size: int = 2, loses=None) -> None:
        self._work, self.size = work, size
        self._left = dict(loses or {})
        self.out: list[Any] = []
        self.most_out = 0
        self.alone: list[Any] = []
        self.closed: bool | None = None

    def submit(self, task: Any) -> Any:
        self.out.append(task)
        self.most_out = max(self.most_out, len(self.out))
        if len(self.out) == 1:
            self.alone.append(task)
        return task

    def wait(self, tickets: Sequence[Any]) -> Sequence[Any]:
        return tickets[:1]

    def result(self, ticket: Any) -> Any:
        self.out.remove(ticket)
        if self._left.get(ticket, 0):
            self._left[ticket] -= 1
            raise WorkerLost("its process was killed")
        return self._work(ticket)

    def close(self, *, at_once: bool) -> None:
        self.closed = at_once
