"""Queues of jobs that a route may meet besides one that works."""

from __future__ import annotations

import threading
from typing import Any

from registry.errors import Unreachable


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
