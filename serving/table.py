"""What a worker knows of each model, as its manager hands it out: values, nothing that changes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from registry.errors import AmbiguousModel, NotReady, UnknownModel
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
    """One model in the table that requests read; `by_key` has what answers, and no arm of it."""

    held: Held
    by_key: Mapping[int, Assignment]

    @property
    def ticker(self) -> str:
        """What it forecasts; empty where nobody says so."""
        return self.held.current.ticker if self.held.current else ""


def meant(table: Mapping[str, Row], name: str) -> str:
    """The model of this name, else the one with this ticker; else what was asked for.

    Raises AmbiguousModel where several have it.
    """
    if name in table:
        return name
    rows = ((model, row) for model, row in table.items() if row.held.current)
    found = sorted(model for model, row in rows if row.ticker == name)
    if len(found) > 1:
        raise AmbiguousModel(
            f"{name}: expected the ticker of one model, got that of {', '.join(found)}: "
            "ask for one of them by its name"
        )
    return found[0] if found else name


def absence(table: Mapping[str, Row], model: str) -> UnknownModel | NotReady:
    """Why nothing answers for `model`."""
    row = table.get(model)
    if row is None and table:
        served = ", ".join(sorted(table))
        return UnknownModel(f"no model {model!r} is served here; there is: {served}")
    if row and row.held.retired:
        return UnknownModel(
            f"{model} was retired (seq {row.held.retired}); promote a version to serve it again"
        )
    return NotReady(f"{model or 'this node'}: no version is in Production and loaded yet")
