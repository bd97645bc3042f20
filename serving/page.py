"""The page: a few kilobytes that all processes of a node share, where a swap is one write.

A file mapped by the watcher and by every worker. It holds the generation of the assignments file,
one slot a worker (which generation it has loaded) and one word a model: the key that answers now.
All of it is aligned 64-bit words, written and read whole.

    worker:   claim a slot → load what the assignments file names → say ready
    watcher:  write the file → announce its generation → wait for all live slots → flip one word

Who writes what: the watcher the generation and the models' words, each worker its own slot.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from registry.ledger import Key

_MAGIC = 0x6261746F6E0001  # "baton", layout 1
_GENERATION = 1
_HEARTBEAT = 2
_SLOTS_AT = 8
_SLOT_WORDS = 4
SLOTS = 128
_MODELS_AT = _SLOTS_AT + SLOTS * _SLOT_WORDS
MODELS = 16_384
_WORDS = _MODELS_AT + MODELS
_SEQ_BITS = 40


@dataclass(frozen=True)
class Slot:
    """One worker: its process, and up to which generation it has loaded or failed to load."""

    number: int
    pid: int
    started: int
    ready: int
    failed: int

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
        with self._locked():
            if os.fstat(self._file.fileno()).st_size != _WORDS * 8:
                self._file.truncate(0)
                self._file.truncate(_WORDS * 8)
            self._map = mmap.mmap(self._file.fileno(), _WORDS * 8)
            self._words = memoryview(self._map).cast("Q")
            if self._words[0] != _MAGIC:
                self._map[:] = bytes(_WORDS * 8)
                self._words[0] = _MAGIC

    @property
    def generation(self) -> int:
        """Generation of the assignments file that workers should hold."""
        return self._words[_GENERATION]

    def announce(self, generation: int) -> None:
        """Tell workers that the assignments file has a new generation."""
        self._words[_GENERATION] = generation

    @property
    def heartbeat_ms(self) -> int:
        """When the watcher was last alive, in Unix milliseconds."""
        return self._words[_HEARTBEAT]

    def beat(self, now_ms: int) -> None:
        """The watcher is alive."""
        self._words[_HEARTBEAT] = now_ms

    def current(self, index: int) -> int:
        """The packed key that answers for a model; 0 if nothing does."""
        return self._words[_MODELS_AT + index]

    def flip(self, index: int, key: Key | None) -> None:
        """From this write on, `key` (or nothing) answers for the model, in every worker at once."""
        self._words[_MODELS_AT + index] = pack(key) if key else 0

    def claim(self, pid: int) -> int:
        """Take a slot for this worker: a free one, or a dead one's."""
        with self._locked():
            for slot in self.slots():
                if not slot.alive:
                    at = _SLOTS_AT + slot.number * _SLOT_WORDS
                    self._words[at] = 0
                    self._words[at + 2] = self._words[at + 3] = 0
                    self._words[at + 1] = process_started(pid)
                    self._words[at] = pid
                    return slot.number
        raise RuntimeError(f"all {SLOTS} worker slots of this node are taken")

    def say_ready(self, slot: int, generation: int) -> None:
        """This worker holds everything the assignments of `generation` name."""
        self._words[_SLOTS_AT + slot * _SLOT_WORDS + 2] = generation

    def say_failed(self, slot: int, generation: int) -> None:
        """This worker could not load what `generation` asks to prepare."""
        self._words[_SLOTS_AT + slot * _SLOT_WORDS + 3] = generation

    def slots(self) -> list[Slot]:
        """Every slot, taken or not."""
        at = range(_SLOTS_AT, _MODELS_AT, _SLOT_WORDS)
        return [Slot(n, *self._words[word : word + 4]) for n, word in enumerate(at)]

    def live_slots(self) -> list[Slot]:
        """The slots of workers that run."""
        return [slot for slot in self.slots() if slot.alive]

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
