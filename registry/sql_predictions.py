"""The prediction log in SQL: sqlite (WAL, one file) or PostgreSQL, through one SQLAlchemy adapter.

A batch and the position it brings a lane to are one transaction, which begins by taking the lane's
row: whoever ships the same batch again, later or at the same time, finds the position moved. What a
database refuses is put aside, so that one record never holds up those behind it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc

from registry import predictions_queries as queries
from registry import predictions_tables as tables
from registry.errors import Unreachable
from registry.predictions import Position, Prediction
from registry.predictions_database import KEPT, address
from registry.predictions_inserting import inserting, is_of_a_day, is_of_the_data
from registry.predictions_queries import Counts
from registry.predictions_rows import NOT_A_ROW, Row, to_record, to_refused, to_row
from registry.settings import Settings

PAGE: Final = 1_000  # records read at once
_IDS: Final = 500
_log = logging.getLogger(__name__)
_predictions, _c = tables.predictions, tables.predictions.c
_positions = tables.positions
_Shipped = tuple[Row, Prediction]
_Refused = tuple[Prediction, str]


def open_sink(settings: Settings) -> SqlPredictions:
    """Where records end. Raises Unreachable, or SettingsError where there is no such place."""
    return SqlPredictions(address(settings))


def open_log(settings: Settings) -> SqlPredictions:
    """The same, for who reads. Raises as `open_sink` does."""
    return SqlPredictions(address(settings))


class SqlPredictions:
    """The ports `PredictionSink` and `PredictionLog`; makes its tables on first use."""

    def __init__(self, url: str, *, now: Callable[[], float] = time.time) -> None:
        """Open the database; raises Unreachable, or SettingsError for one that cannot be used.

        `now` is Unix time in seconds.
        """
        self._engine = KEPT.open(url)
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._inserting = inserting(self._engine)
        self._now = now
        self._counted = queries.counted(by_days=self._engine.dialect.name == "postgresql")
        self.refused = 0  # records put aside since this was opened

    def position(self, spool: str, lane: str) -> Position:
        """See `PredictionSink.position`."""
        columns = sa.select(_positions.c.segment, _positions.c.read_to)
        found = self._read(columns.where(_is_of(spool, lane)))
        return Position(found[0].segment, found[0].read_to) if found else Position(0, 0)

    def append(self, spool: str, lane: str, records: Sequence[Prediction], upto: Position) -> int:
        """See `PredictionSink.append`; a batch that ends at or before the position is nothing new.

        What cannot be a row is put into `baton_refused_predictions`, and counted in `refused`.
        """
        shipped: list[_Shipped] = []
        refused: list[_Refused] = []
        for record in records:
            try:
                shipped.append((to_row(record), record))
            except NOT_A_ROW as error:
                refused.append((record, f"{type(error).__name__}: {error}"))
        try:
            return self._append(spool, lane, shipped, refused, upto)
        except _DayGoneError:
            self._inserting.forget()
        try:
            return self._append(spool, lane, shipped, refused, upto)
        except _DayGoneError as error:
            raise Unreachable(f"prediction log: {error}; ask again") from error

    def predictions(
        self, model: str, since: float, until: float, *, version: str | None = None
    ) -> Iterator[Prediction]:
        """See `PredictionLog.predictions`; raises Unreachable, also between two pages."""
        asked = [_c.model == model, self._counted]
        if version is not None:
            asked.append(_c.version == version)
        return self._pages(sa.and_(*asked), since, until)

    def executions(self, model: str, since: float, until: float) -> Iterator[Prediction]:
        """As `predictions`, but every attempt: what is there, as it is there."""
        return self._pages(_c.model == model, since, until)

    def found(self, ids: Iterable[str]) -> Mapping[str, Prediction]:
        """See `PredictionLog.found`."""
        asked, records = list(ids), {}
        for start in range(0, len(asked), _IDS):
            some = _c.prediction_id.in_(asked[start : start + _IDS])
            for row in self._read(sa.select(_predictions).where(some)):
                records[row.prediction_id] = to_record(row)
        return records

    def models(self, since: float, until: float) -> Sequence[str]:
        """See `PredictionLog.models`; by name."""
        asked = sa.and_(_c.model != "", queries.during(since, until))
        found = self._read(sa.select(_c.model).where(asked).distinct().order_by(_c.model))
        return [row.model for row in found]

    def counts(self, model: str, since: float, until: float) -> Mapping[str, Counts]:
        """What each version of a model did with since ≤ time < until, every attempt counted."""
        return queries.to_counts(self._read(queries.counts(model, since, until)))

    def size(self, model: str, since: float, until: float) -> int:
        """How many records of a model there are with since ≤ time < until, every attempt."""
        asked = sa.and_(_c.model == model, queries.during(since, until))
        return int(self._read(sa.select(sa.func.count()).where(asked))[0][0])

    def newest(self, model: str, *, most: int) -> Sequence[Prediction]:
        """A model's last `most` records, newest first, every attempt."""
        query = sa.select(_predictions).where(_c.model == model).limit(most)
        found = self._read(query.order_by(_c.time.desc(), _c.prediction_id.desc()))
        return [to_record(row) for row in found]

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _append(
        self,
        spool: str,
        lane: str,
        shipped: Sequence[_Shipped],
        refused: Sequence[_Refused],
        upto: Position,
    ) -> int:
        """One transaction. Raises _DayGoneError, with nothing done."""
        with KEPT.reaching():
            self._inserting.prepare({row[1] for row, _ in shipped})
            with self._engine.begin() as connection:
                if upto <= self._taken(connection, spool, lane):
                    return 0
                aside = list(refused)
                new = self._insert(connection, shipped, aside)
                self._put_aside(connection, aside)
                moved = {"segment": upto.segment, "read_to": upto.offset, "at_ms": self._now_ms()}
                connection.execute(sa.update(_positions).where(_is_of(spool, lane)).values(moved))
        self.refused += len(aside)
        return new

    def _taken(self, connection: sa.Connection, spool: str, lane: str) -> Position:
        """The lane's position, nobody else's to move until this transaction ends."""
        begin = sa.text(
            f"INSERT INTO {_positions.name} (spool, lane, segment, read_to, at_ms) "  # noqa: S608
            "VALUES (:spool, :lane, 0, 0, :at_ms) ON CONFLICT DO NOTHING"
        )
        connection.execute(begin, {"spool": spool, "lane": lane, "at_ms": self._now_ms()})
        columns = sa.select(_positions.c.segment, _positions.c.read_to)
        locked = columns.where(_is_of(spool, lane)).with_for_update()
        return Position(*connection.execute(locked).one())

    def _insert(
        self, connection: sa.Connection, shipped: Sequence[_Shipped], refused: list[_Refused]
    ) -> int:
        """Insert what can be, half by half around what the database refuses; how many were new."""
        try:
            with connection.begin_nested():
                return self._inserting.insert(connection, [row for row, _ in shipped])
        except (exc.DBAPIError, OverflowError) as error:
            if isinstance(error, exc.DBAPIError) and is_of_a_day(error):
                raise _DayGoneError(_words(error)) from error
            if not is_of_the_data(error):
                raise
            if len(shipped) == 1:
                refused.append((shipped[0][1], _words(error)))
                return 0
        middle = len(shipped) // 2
        first = self._insert(connection, shipped[:middle], refused)
        return first + self._insert(connection, shipped[middle:], refused)

    def _put_aside(self, connection: sa.Connection, refused: Sequence[_Refused]) -> None:
        put = sa.text(
            f"INSERT INTO {tables.refused.name} (id, at_ms, reason, body) "  # noqa: S608
            "VALUES (:id, :at_ms, :reason, :body) ON CONFLICT DO NOTHING"
        )
        for record, reason in refused:
            connection.execute(put, to_refused(record, reason, self._now_ms()))
            _log.warning("prediction %.64s: put aside: %s", record.prediction_id, reason)

    def _pages(
        self, asked: sa.ColumnElement[bool], since: float, until: float
    ) -> Iterator[Prediction]:
        """In pages, each a question of its own: nothing is held between them."""
        behind: sa.ColumnElement[bool] = sa.true()
        while True:
            query = sa.select(_predictions).where(asked, queries.during(since, until), behind)
            rows = self._read(query.order_by(*queries.oldest_first()).limit(PAGE))
            yield from map(to_record, rows)
            if len(rows) < PAGE:
                return
            since = rows[-1].time
            behind = queries.after(since, rows[-1].prediction_id)

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with KEPT.reaching(), self._readers.connect() as connection:
            return connection.execute(query).all()

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


class _DayGoneError(Exception):
    """The partition of a day was dropped since it was looked at."""


def _is_of(spool: str, lane: str) -> sa.ColumnElement[bool]:
    return sa.and_(_positions.c.spool == spool, _positions.c.lane == lane)


def _words(error: exc.DBAPIError | OverflowError) -> str:
    said = error.orig if isinstance(error, exc.DBAPIError) else error
    return " ".join(str(said).split())
