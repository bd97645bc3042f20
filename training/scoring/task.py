"""One partition of an output: read, answered, published, in a process of a crew.

The process keeps its child, and with it the loaded versions, for the partitions to come.
"""

from __future__ import annotations

import atexit
import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from registry.errors import BatonError, StepFailed
from registry.settings import Settings
from training.scoring.child import Child, ChildLost
from training.scoring.order import ORDER, Order
from training.scoring.partitions import Partition
from training.scoring.stores import Store, store_of

_TRIES = 2


@dataclass(frozen=True, kw_only=True)
class Task:
    """A partition of the input, and where its answer goes. Addresses are paths or `s3://`."""

    partition: Partition
    input: str
    output: str
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Part:
    """What came of a partition; with a reason, there is no output."""

    partition: Partition
    rows: int = 0
    written: int = 0
    sha256: str = ""
    size: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    reason: str = ""

    @property
    def is_done(self) -> bool:
        """Whether its output is there."""
        return not self.reason

    def to_text(self) -> str:
        """As kept beside the output: that it is complete, and of which input."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_text(cls, text: str) -> Part:
        """The reverse of `to_text`."""
        told = json.loads(text)
        return cls(**{**told, "partition": Partition(**told["partition"])})


@lru_cache(maxsize=2)
def _store(address: str, endpoint: str) -> Store:
    """Opened once a process: a client of S3 takes a while to make."""
    return store_of(address, endpoint=endpoint)


def record(partition: Partition) -> str:
    """The name of the file that says that a partition is complete."""
    return f"_baton/{partition.output}.json"


def score(task: Task) -> Part:
    """Answer one partition; whatever goes wrong is its own matter."""
    began = time.monotonic()
    settings = task.settings
    source = _store(task.input, settings.s3_endpoint)
    target = _store(task.output, settings.s3_endpoint)
    try:
        with tempfile.TemporaryDirectory(prefix="baton-score-") as scratch:
            part = _scored(task, source, target, Path(scratch))
    except Exception as error:  # noqa: BLE001 - of this partition; the others go on
        reason = str(error) if isinstance(error, BatonError) else f"{type(error).__name__}: {error}"
        return Part(partition=task.partition, reason=reason)
    return dataclasses.replace(part, seconds=round(time.monotonic() - began, 3))


def _scored(task: Task, source: Store, target: Store, scratch: Path) -> Part:
    """Ask for the answers, publish them, and then say that they are complete."""
    partition = task.partition
    read = source.local(partition.name, scratch)
    draft = target.draft(partition.output, scratch)
    try:
        answer = _asked(
            task,
            target,
            {
                "input": str(read),
                "start": partition.start,
                "rows": partition.rows,
                "output": str(draft),
            },
        )
        if not answer["ok"]:
            raise StepFailed(f"{partition.name}: {answer['reason']}")
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        part = Part(
            partition=partition,
            rows=answer["rows"],
            written=answer["written"],
            sha256=digest,
            size=draft.stat().st_size,
            engine_seconds=round(answer.get("engine_seconds", 0.0), 4),
        )
        target.publish(draft, partition.output)
    finally:
        draft.unlink(missing_ok=True)
    write_text(target, record(partition), part.to_text(), scratch)
    return part


def write_text(target: Store, name: str, text: str, scratch: Path) -> None:
    """Publish a small file."""
    draft = target.draft(name, scratch)
    draft.write_text(text, encoding="utf-8")
    target.publish(draft, name)


class _Children:
    """The child of this process, for one output at a time."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._output = ""
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def of(self, task: Task, target: Store) -> Child:
        """The one that has this output's versions, started if need be."""
        if self._child is None or self._output != task.output:
            self.close()
            text = target.text(ORDER)
            if text is None:
                raise StepFailed(f"{task.output}: {ORDER} was taken away while it was worked on")
            self._scratch = tempfile.TemporaryDirectory(prefix="baton-versions-")
            directory = Order.from_text(text).fetched(task.settings, Path(self._scratch.name))
            self._child, self._output = Child(directory), task.output
        return self._child

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.close()
        if self._scratch is not None:
            self._scratch.cleanup()
        self._child = self._scratch = None


_CHILDREN = _Children()
atexit.register(_CHILDREN.close)


def _asked(task: Task, target: Store, order: Mapping[str, Any]) -> dict[str, Any]:
    """The child's answer; one that ends over it is replaced, and asked once more."""
    for attempt in range(1, _TRIES + 1):
        child = _CHILDREN.of(task, target)
        try:
            return child.ask(order)
        except ChildLost:
            _CHILDREN.close()
            if attempt == _TRIES:
                raise
    raise AssertionError
