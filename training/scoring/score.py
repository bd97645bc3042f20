"""All partitions of an input, each scored once into one output; knows crews, and loads nothing.

    <output>/part-00000.parquet      the answers to the partition of that number
    <output>/_baton/order.json       which versions answer (order.py)
    <output>/_baton/part-….json      written after the part: it is complete, and of which input
    <output>/_SUCCESS.json           written last: everything is there

A command that is repeated scores what is not complete, or of another input than before. So it may
be killed at any moment: a part is whole or not there, and there is never more than one.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import UsageError
from registry.settings import Settings
from training.crew import Crew, WorkerLost, each
from training.scoring.order import ORDER, Order
from training.scoring.partitions import Partition, partitions
from training.scoring.stores import Directory, Store, store_of
from training.scoring.task import Part, Task, record, write_text

SUCCESS = "_SUCCESS.json"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What there is now. `kept` parts were complete before."""

    order: Order
    output: str
    parts: Sequence[Part]
    kept: int
    seconds: float

    @property
    def failed(self) -> Sequence[Part]:
        """Those without an output, by index."""
        return sorted((p for p in self.parts if not p.is_done), key=lambda p: p.partition.index)

    @property
    def rows(self) -> int:
        """Rows of the input that are answered."""
        return sum(part.rows for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json`."""
        return {
            **self.told(),
            "output": self.output,
            "kept": self.kept,
            "seconds": self.seconds,
            "engine_seconds": round(sum(part.engine_seconds for part in self.parts), 3),
            "failures": {part.partition.output: part.reason for part in self.failed},
        }

    def told(self) -> dict[str, Any]:
        """What answers, and how much."""
        versions = self.order.versions
        named: Mapping[str, Any] = (
            {"version": versions[""].version, "digest": versions[""].digest}
            if "" in versions
            else {"versions": {n: [v.version, v.digest] for n, v in sorted(versions.items())}}
        )
        return {
            "model": self.order.model,
            **named,
            "rows": self.rows,
            "written": sum(part.written for part in self.parts),
            "partitions": len(self.parts),
        }

    def success(self) -> str:
        """The content of `_SUCCESS.json`."""
        parts = {
            part.partition.output: {
                "input": part.partition.to_json(),
                "rows": part.rows,
                "written": part.written,
                "sha256": part.sha256,
                "size": part.size,
            }
            for part in sorted(self.parts, key=lambda part: part.partition.index)
        }
        return json.dumps({**self.told(), "parts": parts}, indent=1)


def run_score(
    order: Order,
    settings: Settings,
    *,
    source: str,
    target: str,
    crew: Crew[Task, Part],
    on_part: Callable[[Part], None] = lambda _: None,
    on_count: Callable[[int], None] = lambda _: None,
) -> Scored:
    """Score what is not complete; never raises for one partition's rows.

    `crew` does the work and is closed here. Raises UsageError for an input without tables, an
    output of another version, or one that holds something else; DataInvalid for a file that is not
    Parquet.
    """
    began = time.monotonic()
    with crew:
        inputs = store_of(source, endpoint=settings.s3_endpoint)
        output = store_of(target, endpoint=settings.s3_endpoint)
        wanted = [*partitions(inputs, most_rows=order.partition_rows)]
        if not wanted:
            raise UsageError(f"{source}: expected at least one file that ends with .parquet")
        on_count(len(wanted))
        _claim(output, order, wanted, target)
        parts: list[Part] = []
        missing: list[Partition] = []
        for partition in wanted:
            if (part := _complete(output, partition)) is None:
                missing.append(partition)
            else:
                parts.append(part)
                on_part(part)
        kept = len(parts)
        if missing:
            output.remove(SUCCESS)
        for partition in missing:  # of another input, or without its record
            output.remove(record(partition))
            output.remove(partition.output)
        tasks = (Task(partition=p, input=source, output=target, settings=settings) for p in missing)
        for task, came in each(crew, tasks):
            part = (
                Part(partition=task.partition, reason=str(came))
                if isinstance(came, WorkerLost)
                else came
            )
            parts.append(part)
            on_part(part)
    seconds = round(time.monotonic() - began, 3)
    scored = Scored(order=order, output=target, parts=parts, kept=kept, seconds=seconds)
    if not scored.failed:
        _write(output, SUCCESS, scored.success())
    return scored


def _claim(output: Store, order: Order, wanted: Sequence[Partition], target: str) -> None:
    """Pin the order in the output; raises UsageError for an output that is somebody else's."""
    before = output.text(ORDER)
    there = [found.name for found in output.tables()]
    if before is None and there:
        raise UsageError(
            f"{target}: holds {there[0]}, which is nothing that was scored; use an empty output"
        )
    if before is not None:
        order.refuse_other(Order.from_text(before), target)
    names = {partition.output for partition in wanted}
    if other := [name for name in there if name not in names]:
        raise UsageError(
            f"{target}: holds {other[0]}, of an input that had more partitions; use another output"
        )
    if isinstance(output, Directory):
        output.drop_drafts()
    _write(output, ORDER, order.to_text())


def _complete(output: Store, partition: Partition) -> Part | None:
    """The record of an output that is there, whole, and of this very input."""
    text = output.text(record(partition))
    if text is None:
        return None
    part = Part.from_text(text)
    whole = part.partition == partition and output.size(partition.output) == part.size
    return part if whole else None


def _write(output: Store, name: str, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="baton-score-") as scratch:
        write_text(output, name, text, Path(scratch))
