"""What a worker knows of each model, as its manager hands it out: values, nothing that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.assignments import Assignment, Held
from serving.residents import Resident
from serving.servable import Servable


@dataclass(frozen=True)
class Serving:
    """What one request was given: an assignment, its servable, and nothing that can change."""

    assignment: Assignment
    resident: Resident

    @property
    def servable(self) -> Servable:
        """The loaded version."""
        return self.resident.servable


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
