"""Queues of jobs, and stores of outcomes, that a route may meet besides those that work."""

from __future__ import annotations

import threading
from typing import Any

from registry.errors import Unreachable
from tests.fakes.outcomes import MemoryOutcomes


class AwayQueue:
    """Its database answers nobody."""

    def __getattr__(self, name: str) -> Any:
        raise Unreachable("queue of jobs: secret-host refused; check BATON_JOBS_URL")


class StuckQueue:
    """Its database takes as long as the test wants."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.go_on = threading.Event()

    def newest(self, *_args: Any, **_kwargs: Any) -> list[Any]:
        self.inside.release()
        self.go_on.wait(30)
        return []


class StuckOutcomes(MemoryOutcomes):
    """Its database takes as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.Semaphore(0)
        self.go_on = threading.Event()

    def tell(self, *args: Any, **kwargs: Any) -> Any:
        self.inside.release()
        self.go_on.wait(30)
        return super().tell(*args, **kwargs)
