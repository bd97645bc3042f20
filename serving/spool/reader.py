"""Reads a lane from a position on: records, and what is damaged between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from registry.predictions import Position
from serving.spool import folder
from serving.spool.frames import frames


@dataclass
class Batch:
    """What was read: each record with the position behind it; `upto` is behind all of it.

    `finished` are segments in which nothing else will ever be; `is_all` says that no whole record
    was left. `damaged` has bytes that cannot be read, by the place where they stood.
    """

    upto: Position
    records: list[tuple[bytes, Position]] = field(default_factory=list)
    damaged: list[tuple[Position, bytes]] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    is_all: bool = True


def read(
    lane: Path, since: Position, *, is_held: bool, most_records: int, most_bytes: int
) -> Batch:
    """About so many records, or bytes of them, behind `since`; at least one if there is one.

    `is_held` was asked before: of a lane that nobody writes the last segment is final too. A torn
    end is the end of its segment. Raises OSError.
    """
    # First which there are: when the next segment is there, nothing is added to the one before.
    numbers = folder.segments(lane)
    batch, taken = Batch(since), 0
    for number in numbers:
        if number < since.segment:  # shipped by somebody who could not remove it any more
            batch.finished.append(number)
            continue
        offset = since.offset if number == since.segment else 0
        is_whole = not is_held or number < numbers[-1]
        data = _bytes(folder.segment(lane, number), offset)
        for payload, begin, end in frames(data, is_whole=is_whole):
            if len(batch.records) >= most_records or taken >= most_bytes:
                batch.is_all = False
                return batch
            batch.upto = Position(number, offset + end)
            if payload is None:
                batch.damaged.append((Position(number, offset + begin), data[begin:end]))
            else:
                batch.records.append((payload, batch.upto))
                taken += end - begin
        if is_whole:
            batch.finished.append(number)
    return batch


def _bytes(path: Path, offset: int) -> bytes:
    """A segment from `offset` on; one that is gone has nothing."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
