"""A prediction log in a file of sqlite, in which whatever is shipped twice is there twice.

`BATON_TEST_SINK` names it; while a file of this name with `.away` behind it exists, it is away.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from registry.errors import Unreachable
from registry.predictions import Position, Prediction

_TABLES = (
    "CREATE TABLE IF NOT EXISTS records (body TEXT)",
    """CREATE TABLE IF NOT EXISTS positions
    (spool TEXT, lane TEXT, segment INTEGER, read_to INTEGER, PRIMARY KEY (spool, lane))""",
)


def open_sink(_settings: Any) -> FileSink:
    """As the real one is opened."""
    return FileSink(Path(os.environ["BATON_TEST_SINK"]))


class FileSink:
    """The port `PredictionSink`."""

    def __init__(self, path: Path) -> None:
        self._away = path.with_name(f"{path.name}.away")
        self._reached()
        self._file = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        for table in _TABLES:
            self._file.execute(table)

    def position(self, spool: str, lane: str) -> Position:
        self._reached()
        query = "SELECT segment, read_to FROM positions WHERE spool = ? AND lane = ?"
        return Position(*(self._file.execute(query, (spool, lane)).fetchone() or (0, 0)))

    def append(self, spool: str, lane: str, records: Sequence[Prediction], upto: Position) -> int:
        self._reached()
        self._file.execute("BEGIN IMMEDIATE")
        try:
            assert upto > self.position(spool, lane), f"{lane}: {upto} was here already"
            bodies = [(orjson.dumps(one).decode(),) for one in records]
            self._file.executemany("INSERT INTO records VALUES (?)", bodies)
            self._file.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)", (spool, lane, *upto)
            )
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")
        return len(records)

    def _reached(self) -> None:
        if self._away.exists():
            raise Unreachable("the stand-in is away")


def read(path: Path) -> list[Prediction]:
    """All that is in it."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, timeout=30)) as file:
        rows = file.execute("SELECT body FROM records").fetchall()
    return [Prediction(**orjson.loads(body)) for (body,) in rows]
