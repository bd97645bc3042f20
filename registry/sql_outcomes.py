"""What came true, in SQL: sqlite (WAL, one file) or PostgreSQL, through one SQLAlchemy adapter.

Whoever tells something reads what stands and adds to it in one transaction, one at a time: `BEGIN
IMMEDIATE` on sqlite, an advisory lock on PostgreSQL. Readers wait for nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from registry import outcomes_tables as tables
from registry.outcomes import (
    About,
    Asked,
    Heard,
    OfDate,
    OfPrediction,
    Outcome,
    Outcomes,
    Said,
    heard,
)
from registry.outcomes_database import KEPT
from registry.predictions_database import address
from registry.settings import Settings

_ONE_AT_A_TIME: Final = 0x74727565  # any constant: the advisory lock of those who tell
_PAGE: Final = 500
_Standing = dict[About, tuple[int, Outcome]]


class SqlOutcomes:
    """The `Outcomes` port over a SQLAlchemy URL; makes its tables on first use."""

    def __init__(self, url: str) -> None:
        """Open the database; raises Unreachable, or SettingsError for a URL that is none."""
        self._engine = KEPT.open(url)
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def tell(self, said: Sequence[Said]) -> Sequence[Heard]:
        """See `Outcomes.tell`."""
        with KEPT.reaching(), self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
            standing = _standing(connection, {one.outcome.about for one in said})
            became, added = _became(standing, said)
            for table, rows in added.items():
                connection.execute(sa.insert(table), rows)
        return became

    def asked(self, ids: Collection[str]) -> Mapping[str, Asked]:
        """See `Outcomes.asked`; nothing while there is no log yet."""
        c, found = tables.asked.c, dict[str, Asked]()
        with KEPT.reaching(), self._readers.connect() as connection:
            if not sa.inspect(connection).has_table(tables.asked.name):
                return found
            for page in _pages(ids):
                query = sa.select(c.prediction_id, c.rows, c.status, c.time)
                for row in connection.execute(query.where(c.prediction_id.in_(page))):
                    found[row.prediction_id] = Asked(*row[1:])
        return found

    def of_predictions(self, ids: Collection[str]) -> Mapping[OfPrediction, Outcome]:
        """See `Outcomes.of_predictions`."""
        with KEPT.reaching(), self._readers.connect() as connection:
            found = _of_predictions(connection, ids)
        return {about: outcome for about, (_, outcome) in found.items()}

    def of_dates(self, series: str, dates: Collection[str]) -> Mapping[str, Outcome]:
        """See `Outcomes.of_dates`."""
        with KEPT.reaching(), self._readers.connect() as connection:
            found = _of_dates(connection, series, dates)
        return {about.date: outcome for about, (_, outcome) in found.items()}

    def history(self, about: About) -> Sequence[Outcome]:
        """See `Outcomes.history`."""
        if isinstance(about, OfPrediction):
            c = tables.by_prediction.c
            query = sa.select(tables.by_prediction).where(
                c.prediction_id == about.prediction_id, c.row_index == about.row
            )
        else:
            c = tables.by_date.c
            query = sa.select(tables.by_date).where(c.series == about.series, c.date == about.date)
        with KEPT.reaching(), self._readers.connect() as connection:
            return [_outcome(about, row) for row in connection.execute(query.order_by(c.revision))]

    def told(self, since: float, until: float) -> Iterator[OfPrediction]:
        """See `Outcomes.told`."""
        c = tables.by_prediction.c
        key = sa.tuple_(c.told, c.prediction_id, c.row_index, c.revision)
        query = sa.select(c.told, c.prediction_id, c.row_index, c.revision)
        query = query.where(c.told >= since, c.told < until).order_by(*query.selected_columns)
        after: Sequence[Any] = ()
        while True:
            page = query.where(key > sa.tuple_(*map(sa.literal, after))) if after else query
            with KEPT.reaching(), self._readers.connect() as connection:
                rows = connection.execute(page.limit(_PAGE)).all()
            yield from (OfPrediction(row.prediction_id, row.row_index) for row in rows)
            if len(rows) < _PAGE:
                return
            after = [*rows[-1]]

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_outcomes(settings: Settings) -> Outcomes:
    """Those beside the prediction log. Raises Unreachable, or SettingsError where none is kept."""
    return SqlOutcomes(address(settings))


def _became(
    standing: _Standing, said: Sequence[Said]
) -> tuple[list[Heard], dict[sa.Table, list[dict[str, Any]]]]:
    """What becomes of each, one after the other, and the rows that are added for it."""
    became: list[Heard] = []
    added: dict[sa.Table, list[dict[str, Any]]] = {}
    for one in said:
        about = one.outcome.about
        revision, before = standing.get(about, (0, None))
        became.append(heard(before, one))
        if became[-1] in (Heard.NEW, Heard.CORRECTED):
            standing[about] = (revision + 1, one.outcome)
            table, key = _key(about)
            added.setdefault(table, []).append({**key, **_values(one.outcome, revision + 1)})
    return became, added


def _standing(connection: sa.Connection, abouts: Collection[About]) -> _Standing:
    """The newest revision of all that is asked about."""
    found: _Standing = {}
    ids = {one.prediction_id for one in abouts if isinstance(one, OfPrediction)}
    found.update(_of_predictions(connection, ids).items())
    dates: dict[str, set[str]] = {}
    for one in abouts:
        if isinstance(one, OfDate):
            dates.setdefault(one.series, set()).add(one.date)
    for series, wanted in dates.items():
        found.update(_of_dates(connection, series, wanted).items())
    return found


def _of_predictions(
    connection: sa.Connection, ids: Collection[str]
) -> dict[OfPrediction, tuple[int, Outcome]]:
    c = tables.by_prediction.c
    found: dict[OfPrediction, tuple[int, Outcome]] = {}
    for page in _pages(ids):
        query = sa.select(tables.by_prediction).where(c.prediction_id.in_(page))
        for row in connection.execute(query.order_by(c.revision)):
            about = OfPrediction(row.prediction_id, row.row_index)
            found[about] = (row.revision, _outcome(about, row))
    return found


def _of_dates(
    connection: sa.Connection, series: str, dates: Collection[str]
) -> dict[OfDate, tuple[int, Outcome]]:
    c = tables.by_date.c
    found: dict[OfDate, tuple[int, Outcome]] = {}
    for page in _pages(dates):
        query = sa.select(tables.by_date).where(c.series == series, c.date.in_(page))
        for row in connection.execute(query.order_by(c.revision)):
            about = OfDate(row.series, row.date)
            found[about] = (row.revision, _outcome(about, row))
    return found


def _pages(names: Collection[str]) -> Iterator[list[str]]:
    listed = sorted(names)
    for at in range(0, len(listed), _PAGE):
        yield listed[at : at + _PAGE]


def _key(about: About) -> tuple[sa.Table, dict[str, Any]]:
    if isinstance(about, OfPrediction):
        return tables.by_prediction, {
            "prediction_id": about.prediction_id,
            "row_index": about.row,
        }
    return tables.by_date, {"series": about.series, "date": about.date}


def _values(outcome: Outcome, revision: int) -> dict[str, Any]:
    is_label = isinstance(outcome.value, str)
    return {
        "revision": revision,
        "number": None if is_label else outcome.value,
        "label": outcome.value if is_label else None,
        "came_true": outcome.at,
        "told_by": outcome.by,
        "told": outcome.told,
    }


def _outcome(about: About, row: sa.Row[Any]) -> Outcome:
    return Outcome(
        about=about,
        value=row.number if row.label is None else row.label,
        at=row.came_true,
        by=row.told_by,
        told=row.told,
    )
