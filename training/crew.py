"""A crew: processes that each do one task after the other, of this machine or of a cluster.

`each` hands out tasks and yields what came of them. It never has more tasks out than the crew has
hands, so that however many tasks there are, the data of those few are all that is in memory. A
process that ends in the middle of its task (killed, out of memory) loses it: what was out then is
done again, one task at a time, so that the one to blame is known and costs no other task anything.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Task_contra = TypeVar("Task_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)

# As many processes as processors: libraries that start threads of their own would only queue up.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "STAN")
} | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


class WorkerLost(Exception):
    """The process that did a task ended before it was done."""


class Crew(Protocol[Task_contra, Result_co]):
    """Processes that do one kind of task. A ticket stands for a task that is out."""

    @property
    def size(self) -> int:
        """How many tasks may be out at a time."""
        ...

    def submit(self, task: Task_contra) -> Any:
        """Hand a task out; its ticket can be a key of a dictionary."""
        ...

    def wait(self, tickets: Sequence[Any]) -> Sequence[Any]:
        """Those that are done, at least one."""
        ...

    def result(self, ticket: Any) -> Result_co:
        """What came of a task that is done; raises WorkerLost."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End the processes; `at_once` whatever they are doing."""
        ...

    def __enter__(self) -> Self:
        """Use it."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; at once if the block was left by an error."""
        ...


def each(crew: Crew[T, R], tasks: Iterable[T]) -> Iterator[tuple[T, R | WorkerLost]]:
    """Every task with its result as soon as it is there, or with what lost it twice."""
    ahead = iter(tasks)
    out: dict[Any, tuple[T, bool]] = {}
    suspects: deque[T] = deque()
    while True:
        if not suspects:
            out |= {crew.submit(t): (t, False) for t in islice(ahead, crew.size - len(out))}
        elif not out:
            suspect = suspects.popleft()
            out[crew.submit(suspect)] = (suspect, True)
        if not out:
            return
        for ticket in crew.wait([*out]):
            task, is_alone = out.pop(ticket)
            try:
                result = crew.result(ticket)
            except WorkerLost as lost:
                if is_alone:
                    yield task, lost
                else:
                    suspects.append(task)
            else:
                yield task, result


class Closing:
    """How a crew is used in a `with` block."""

    def close(self, *, at_once: bool) -> None:
        """See `Crew.close`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """See `Crew.__enter__`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See `Crew.__exit__`."""
        self.close(at_once=error is not None)


class Processes(Closing, Generic[T, R]):
    """Processes of this machine, by joblib's executor (loky). They end when this one does."""

    def __init__(self, work: Callable[[T], R], *, size: int) -> None:
        """`work` is a function of a module; `size` processes start with the first task."""
        self._work, self.size = work, size
        self._pool: Any = None

    def submit(self, task: T) -> Any:
        """See `Crew.submit`."""
        from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - as below

        try:
            return self._running().submit(self._work, task)
        except BrokenProcessPool:  # a process ended while it had nothing to do
            self._drop()
            return self._running().submit(self._work, task)

    def wait(self, tickets: Sequence[Any]) -> Sequence[Any]:
        """See `Crew.wait`."""
        from concurrent.futures import FIRST_COMPLETED, wait  # noqa: PLC0415 - as below

        return [*wait(tickets, return_when=FIRST_COMPLETED).done]

    def result(self, ticket: Any) -> R:
        """See `Crew.result`."""
        from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - as below

        try:
            result: R = ticket.result()
        except BrokenProcessPool as broken:
            self._drop()
            raise WorkerLost("its process was killed or ran out of memory") from broken
        return result

    def close(self, *, at_once: bool) -> None:
        """See `Crew.close`."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=at_once)
            self._pool = None

    def _running(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415 - only where it is used

        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.size, initializer=_begin, initargs=(os.getpid(),), env=ONE_THREAD
            )
        return self._pool

    def _drop(self) -> None:
        """Leave processes of which one is gone; the next task finds new ones."""
        self.close(at_once=True)


def _begin(parent: int) -> None:
    """A process's first steps: it ends with its parent, which alone hears Ctrl-C, and is quiet."""
    from registry.process import die_with_parent  # noqa: PLC0415 - in the new process
    from training.__main__ import quieten  # noqa: PLC0415 - as above

    die_with_parent(signal.SIGKILL, parent=parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(2, 1)  # libraries print; standard output is for the command's result
    quieten()
