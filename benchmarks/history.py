"""A recorded history: one packed row a request, written by the client while it runs.

Rows stand in the order in which answers came back. The same bytes, gzip-ed, are the raw artifact
that stays behind a number in `RESULTS.md`; `read` takes both.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]

# number: what was asked; echoed: the number in the answer's X-Request-Id (-1: another's, or none).
# Times are seconds of `time.monotonic()`. late: how long after a request was due *and* had a free
# connection the client sent it: its own stall. status 0: the connection broke. version, seq and
# worker are the answer's headers (-1: none). answer: its one number (NaN: anything else).
ROW = np.dtype(
    [
        ("number", "<i8"),
        ("echoed", "<i8"),
        ("due", "<f8"),
        ("begun", "<f8"),
        ("ended", "<f8"),
        ("late", "<f8"),
        ("status", "<i4"),
        ("version", "<i4"),
        ("seq", "<i4"),
        ("worker", "<i4"),
        ("answer", "<f8"),
    ]
)
PACKED = struct.Struct("<qqddddiiiid")
_CHUNK = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One attempt at a request, as its client saw it; times in seconds of one monotonic clock.

    `status` 0 is a connection that broke. `version` and `seq` are the headers of the answer.
    """

    id: str
    begun: float
    ended: float
    status: int
    version: str = ""
    seq: int = 0
    request: Any = None
    answer: Any = None

    @property
    def answered(self) -> bool:
        """Whether this attempt got what it asked for."""
        return 200 <= self.status < 300


def read(path: Path) -> Rows:
    """Every row of a recording, gzip-ed or not; what a killed client half wrote is left out."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        data = file.read()
    whole = len(data) // ROW.itemsize
    return np.frombuffer(data, dtype=ROW, count=whole)


def observations(rows: Rows) -> Iterator[Observation]:
    """Rows as the checker takes them, a chunk in memory at a time.

    The model computes in float32, whose shortest digits JSON carries: the answer is compared as
    float32. An answer with another id than was asked is nobody's.
    """
    for at in range(0, len(rows), _CHUNK):
        chunk = rows[at : at + _CHUNK]
        with np.errstate(over="ignore"):
            answers = chunk["answer"].astype(np.float32).astype(float).tolist()
        for row, answer in zip(chunk.tolist(), answers, strict=True):
            number, echoed, _, begun, ended, _, status, version, seq, _, _ = row
            yield Observation(
                id=f"r{number}" if echoed == number or not status else f"for r{number}",
                begun=begun,
                ended=ended,
                status=status,
                version=str(version) if version >= 0 else "",
                seq=seq,
                request=float(number),
                answer=answer,
            )


def keep(recording: Path) -> tuple[Path, str]:
    """Compress a recording in place of itself; returns the artifact and its SHA-256 (hex)."""
    artifact = recording.with_name(recording.name + ".gz")
    with (
        recording.open("rb") as raw,
        artifact.open("wb") as file,
        # Neither name nor time in its header: the same rows have the same digest.
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        shutil.copyfileobj(raw, packed, 1 << 20)
    recording.unlink()
    with artifact.open("rb") as packed_file:
        return artifact, hashlib.file_digest(packed_file, "sha256").hexdigest()
