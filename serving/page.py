"""The page: a few kilobytes that all processes of a node share, where a swap is one write.

A file mapped by the watcher and by every worker. It holds one slot a worker (what it has loaded)
and two words a model: the key that answers now, and when its assignment last changed. All of it is
aligned 64-bit words, written and read whole.

    watcher:  write the model's assignment → announce it → wait for all live slots → flip one word
    worker:   see the announcement → load what the assignment names → say ready

Announcements are numbered over the whole page. A worker says which it is ready for by *lane*: there
are a few, a model's is its index modulo their number, and in each is at most one swap at a time. So
swaps of different models do not wait for each other.

Who writes what: the watcher the announcements and the models' words, each worker its own slot.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from registry.ledger import Key

_MAGIC = 0x6261746F6E0002  # "baton", layout 2
_ANNOUNCED = 1
_HEARTBEAT = 2
_USED = 3
_SLOTS_AT = 8
LANES = 16
_READY_AT = 2
_FAILED_AT = _READY_AT + LANES
_SLOT_WORDS = _FAILED_AT + LANES
SLOTS = 128
MODELS = 16_384
_CURRENT_AT = _SLOTS_AT + SLOTS * _SLOT_WORDS
_CHANGED_AT = _CURRENT_AT + MODELS
_WORDS = _CHANGED_AT + MODELS
_SEQ_BITS = 40


@dataclass(frozen=True)
class Slot:
    """One worker: its process, and by lane the last announcement it is ready for or failed at."""

    number: int
    pid: int
    started: int
    ready: tuple[int, ...]
    failed: tuple[int, ...]

    @property
    def process(self) -> tuple[int, int]:
        """Which process this is; a recycled pid is another one."""
        return self.pid, self.started

    @property
    def alive(self) -> bool:
        """Whether the process that claimed the slot still runs (a recycled pid does not count)."""
        return self.started != 0 and process_started(self.pid) == self.started


class Page:
    """The mapped file. Made by the supervisor or watcher, opened by workers."""

    def __init__(self, path: Path) -> None:
        """Map `path`, making it first if it is not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        self._announcing = threading.Lock()
        with self._locked():
            if os.fstat(self._file.fileno()).st_size != _WORDS * 8:
                self._file.truncate(0)
                # Not sparse: where the disk is full this raises, a mapped hole would kill.
                os.posix_fallocate(self._file.fileno(), 0, _WORDS * 8)
            self._map = mmap.mmap(self._file.fileno(), _WORDS * 8)
            self._words = memoryview(self._map).cast("Q")
            if self._words[0] != _MAGIC:
                self._map[:] = bytes(_WORDS * 8)
                self._words[0] = _MAGIC

    @property
    def announced(self) -> int:
        """How many changes were announced so far."""
        return self._words[_ANNOUNCED]

    def announce(self, index: int) -> int:
        """Tell workers that a model's assignment changed; returns the announcement's number."""
        with self._announcing:
            number = self._words[_ANNOUNCED] + 1
            self._words[_CHANGED_AT + index] = number
            self._words[_USED] = max(self._words[_USED], index + 1)
            self._words[_ANNOUNCED] = number
            return number

    def changes(self) -> list[int]:
        """For each model, by index, the number of its last announcement; 0 if there was none."""
        return self._words[_CHANGED_AT : _CHANGED_AT + self._words[_USED]].tolist()

    @property
    def heartbeat_ms(self) -> int:
        """When the watcher was last alive, in Unix milliseconds."""
        return self._words[_HEARTBEAT]

    def beat(self, now_ms: int) -> None:
        """The watcher is alive."""
        self._words[_HEARTBEAT] = now_ms

    def current(self, index: int) -> int:
        """The packed key that answers for a model; 0 if nothing does."""
        return self._words[_CURRENT_AT + index]

    def currents(self) -> list[int]:
        """All of them, by index."""
        return self._words[_CURRENT_AT:_CHANGED_AT].tolist()

    def flip(self, index: int, key: Key | None) -> None:
        """From this write on, `key` (or nothing) answers for the model, in every worker at once."""
        self._words[_CURRENT_AT + index] = pack(key) if key else 0

    def claim(self, pid: int) -> int:
        """Take a slot for this worker: a free one, or a dead one's."""
        with self._locked():
            for slot in self.slots():
                if not slot.alive:
                    at = _SLOTS_AT + slot.number * _SLOT_WORDS
                    for word in (0, *range(_READY_AT, _SLOT_WORDS)):
                        self._words[at + word] = 0
                    self._words[at + 1] = process_started(pid)
                    self._words[at] = pid
                    return slot.number
        raise RuntimeError(f"all {SLOTS} worker slots of this node are taken")

    def say_ready(self, slot: int, index: int, number: int) -> None:
        """This worker holds what announcement `number` asks to prepare for the model."""
        self._raise(_SLOTS_AT + slot * _SLOT_WORDS + _READY_AT + lane(index), number)

    def say_failed(self, slot: int, index: int, number: int) -> None:
        """This worker could not load what announcement `number` asks to prepare."""
        self._raise(_SLOTS_AT + slot * _SLOT_WORDS + _FAILED_AT + lane(index), number)

    def slots(self) -> list[Slot]:
        """Every slot, taken or not."""
        words = self._words[_SLOTS_AT:_CURRENT_AT].tolist()
        return [
            Slot(
                number,
                words[at],
                words[at + 1],
                tuple(words[at + _READY_AT : at + _FAILED_AT]),
                tuple(words[at + _FAILED_AT : at + _SLOT_WORDS]),
            )
            for number, at in enumerate(range(0, len(words), _SLOT_WORDS))
        ]

    def live_slots(self) -> list[Slot]:
        """The slots of workers that run."""
        return [slot for slot in self.slots() if slot.alive]

    def _raise(self, word: int, number: int) -> None:
        """A later load may end before an earlier one: what was said is not taken back."""
        with self._announcing:
            self._words[word] = max(self._words[word], number)

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._map.close()
        self._file.close()

    def __enter__(self) -> Self:
        """Close at the end of a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def lane(index: int) -> int:
    """The lane of a model: where its swaps are waited for."""
    return index % LANES


def pack(key: Key) -> int:
    """A key as one word that orders as keys do; never 0."""
    return key.epoch << _SEQ_BITS | key.seq


def process_started(pid: int) -> int:
    """When a process was started, in clock ticks after boot; 0 if there is none (or a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])
