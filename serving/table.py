"""What a worker knows of each model, as its manager hands it out: values, nothing that changes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from serving.assignments import Assignment, Held
from serving.residents import Resident
from serving.servable import Servable


class Serving:
    """What one request was given, kept loaded while it is used: `with manager.acquire(…)`.

    One is made for each request, in half the time of a frozen dataclass.
    """

    __slots__ = ("_resident", "assignment", "servable")

    def __init__(self, assignment: Assignment, resident: Resident) -> None:
        """Nothing of it changes."""
        self.assignment, self.servable, self._resident = assignment, resident.servable, resident

    def __enter__(self) -> Self:
        """Count one more request that uses it."""
        resident = self._resident
        with resident.lock:
            resident.users += 1
        resident.used_at = time.monotonic()
        return self

    def __exit__(self, *_error: object) -> None:
        """This one is done."""
        resident = self._resident
        with resident.lock:
            resident.users -= 1


@dataclass(frozen=True)
class Served:
    """One model for people: what is held, what answers, and its servable where it is loaded."""

    held: Held
    answering: Assignment | None
    servable: Servable | None


@dataclass(frozen=True)
class Row:
    """One model in the table that requests read."""

    held: Held
    by_key: Mapping[int, Assignment]
