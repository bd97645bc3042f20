"""How far a run has come: the steps it is made of, those that are done, and how long they took.

Kept as `progress.json` in the run's workspace, so that whoever goes on with the run, in whichever
process, knows where. What is done is always the beginning of what there is to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from registry.errors import UsageError
from training.workspace import Workspace

_FILE = "progress.json"


@dataclass(frozen=True)
class Progress:
    """`steps` in their order, of which the first `done` are done, in `seconds` altogether."""

    steps: tuple[str, ...]
    done: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, steps: Iterable[str]) -> Self:
        """Nothing is done yet."""
        return cls(tuple(steps))

    @classmethod
    def read(cls, workspace: Workspace) -> Self:
        """As kept in a workspace; raises StepFailed if nothing is."""
        kept = workspace.read(_FILE)
        return cls(tuple(kept["steps"]), kept["done"], kept["seconds"])

    def keep(self, workspace: Workspace) -> None:
        """Write it into the workspace, wholly or not at all."""
        workspace.write(_FILE, dataclasses.asdict(self))

    @property
    def left(self) -> tuple[str, ...]:
        """What is to be done yet."""
        return self.steps[self.done :]

    def before(self, step: str) -> Self:
        """As it is when `step` is begun: it and all after it are undone.

        Raises UsageError for a step that the run is not made of, or whose turn has not come.
        """
        if step not in self.steps:
            raise UsageError(f"step {step}: the run is made of {', '.join(self.steps)}")
        at = self.steps.index(step)
        if missing := self.steps[self.done : at]:
            raise UsageError(
                f"step {step}: the run has not been through {', '.join(missing)}; "
                f"run step {missing[0]} first"
            )
        return dataclasses.replace(self, done=at)

    def after(self, step: str, seconds: float) -> Self:
        """As it is when `step`, begun last, is done and took `seconds`."""
        at = self.steps.index(step)
        return dataclasses.replace(self, done=at + 1, seconds=self.seconds + seconds)
