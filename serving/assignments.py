"""What a node serves, as a file: written by its watcher, read by its workers, kept over restarts.

For each model: `current` (answers, unless the page already says `preparing`), `previous` (stays
loaded, so that going back is a flip) and `preparing` (is being loaded). Replaced whole, so a reader
sees one generation or the next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from registry.ledger import Key


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One version of one model at its place in the order; `since_ms` is when it was appended."""

    model: str
    version: int
    digest: str
    key: Key
    since_ms: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `dataclasses.asdict`."""
        return cls(**{**data, "key": Key(**data["key"])})


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a node holds of one model. `index` is the model's word in the page.

    `refused` says why the version the ledger names is not served here; empty if it is.
    """

    index: int
    current: Assignment | None = None
    previous: Assignment | None = None
    preparing: Assignment | None = None
    refused: str = ""

    def __iter__(self) -> Iterator[Assignment]:
        """Everything a worker must have loaded."""
        return (a for a in (self.current, self.previous, self.preparing) if a)


@dataclass(frozen=True)
class Assignments:
    """Everything a node holds, by model name."""

    generation: int = 0
    models: Mapping[str, Held] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; one that is not there is empty."""
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        return cls(data["generation"], {name: _held(raw) for name, raw in data["models"].items()})

    def write(self, path: Path) -> None:
        """Replace the file; it is on the disk when this returns."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(
                {
                    "generation": self.generation,
                    "models": {name: asdict(held) for name, held in self.models.items()},
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the new name too: after a power cut nobody goes back
        finally:
            os.close(directory)


def _held(raw: Mapping[str, Any]) -> Held:
    parts = {
        name: Assignment.from_json(raw[name]) if raw[name] else None
        for name in ("current", "previous", "preparing")
    }
    return Held(index=raw["index"], refused=raw["refused"], **parts)
