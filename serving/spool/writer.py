"""One worker's lane: each record is one write, without waiting for the disk.

A machine that loses its power may lose the last seconds; a process that is killed loses nothing
that it has written. Nothing is made before the first record.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry.errors import NotLogged
from serving.spool import folder
from serving.spool.frames import MOST_BYTES, framed
from serving.spool.usage import Usage

_SEGMENT_BYTES: Final = 4 * 1024 * 1024
_SMALLEST_SEGMENT: Final = 64 * 1024
_SEGMENTS_AT_LEAST: Final = 16  # of a spool that is full: what is shipped can leave
_SEGMENT_SECONDS: Final = 10.0


class Writer:
    """Appends records; may be called by several threads."""

    def __init__(
        self,
        spool: Path,
        *,
        most_bytes: int,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most_bytes` are those of the whole spool, which so many `workers` fill."""
        self._spool, self._most_bytes, self._workers = spool, most_bytes, workers
        self._segment_bytes = max(
            _SMALLEST_SEGMENT, min(_SEGMENT_BYTES, most_bytes // _SEGMENTS_AT_LEAST)
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._usage: Usage | None = None
        self._lane: Path | None = None
        self._held = self._file = -1
        self._number = self._size = 0
        self._roll_at = 0.0
        self._looks, self._own = -1, 0

    def append(self, record: bytes, *, within: float = 1.0) -> None:
        """Write one record down, if the spool is then no fuller than `within`, a share of it.

        Raises NotLogged for a spool that is full or cannot be written; nothing of it is there then.
        """
        frame = framed(record)
        if len(record) > MOST_BYTES:
            raise NotLogged(f"a record of {len(record)} bytes, at most {MOST_BYTES}")
        with self._lock:
            try:
                self._append(frame, within)
            except OSError as error:
                if isinstance(error, FileNotFoundError):  # somebody removed it: begin anew
                    self._let_go()
                raise NotLogged(f"the prediction log cannot be written: {error}") from error

    def close(self) -> None:
        """Let go of the lane: what is in it is all there will be."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        for handle in (self._file, self._held):
            if handle >= 0:
                os.close(handle)
        if self._usage:
            self._usage.close()
        self._file = self._held = -1
        self._usage = self._lane = None
        self._number, self._size, self._roll_at = 0, 0, 0.0

    def _append(self, frame: bytes, within: float) -> None:
        usage = self._usage
        if usage is None:
            usage = self._usage = Usage(self._spool)
        looks, used = usage.told()
        if looks != self._looks:
            self._looks, self._own = looks, 0
        size = len(frame)
        if used + self._own * self._workers + size > self._most_bytes * within:
            raise NotLogged(
                "the prediction log has no room: its sink is away, or too slow; try again shortly"
            )
        now = self._clock()
        if self._size + size > self._segment_bytes or now >= self._roll_at:
            self._roll(now)
        written = os.write(self._file, frame)
        if written != size:
            self._undo()
            raise NotLogged("the prediction log cannot be written: no space left on device")
        self._size += size
        self._own += size

    def _roll(self, now: float) -> None:
        """Begin the next segment, unless the present one is empty."""
        if self._lane is None:
            self._lane, self._held = folder.new_lane(self._spool)
        self._roll_at = now + _SEGMENT_SECONDS
        if self._file >= 0 and not self._size:
            return
        path = folder.segment(self._lane, self._number + 1)
        begun = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = begun, 0
        self._number += 1

    def _undo(self) -> None:
        """Take back what was written of a record; if that fails, this segment ends torn."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            os.close(self._file)
            self._file = -1
            self._roll_at = 0.0
