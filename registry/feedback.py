"""Feedback as people and programs send it: read, held against the prediction log, kept, counted.

    {"prediction_id": "6f1c…", "row": 0, "actual": "versicolor"}
    {"series": "USD/BRL", "date": "2026-11-02", "actual": 5.43}
    {"model": "ProphetModel", "date": "2026-11-02", "actual": 5.43}

`at` (ISO 8601) says when it came true, `"correct": true` that it takes the place of another value.
Pure of I/O but for its ports. Called by the route, the import and `training actuals`.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from registry.errors import SignatureMismatch
from registry.outcomes import Asked, Heard, OfDate, OfPrediction, Outcome, Outcomes, Said, Value
from registry.signature import describe

# Told so long after the prediction, it is late: `training accuracy` does not look that far back.
LATE_SECONDS: Final = 30 * 86_400.0
_FIELDS: Final = ("prediction_id", "row", "series", "model", "date", "actual", "at", "correct")
_MOST_TEXT: Final = 200
_MOST_ROW: Final = 2**31 - 1  # of an INTEGER
# A zero byte is no text to PostgreSQL, half a pair of UTF-16 none to anybody.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PAGE: Final = 500
_A_DATE: Final = "an ISO-8601 date or datetime without a time zone, such as 2026-11-02"
_A_MOMENT: Final = "an ISO-8601 datetime such as 2026-11-02T18:00:00Z"
_AN_ACTUAL: Final = "a finite number, a label or true or false"
_CONTRADICTS: Final = (
    'another value was told before, which stays; send it with "correct": true to replace that'
)

# The series that a model forecasts: the name under which outcomes by date are kept.
SeriesOf = Callable[[str], str]


class Fate(StrEnum):
    """What became of one piece of feedback; an unknown one is kept: its record may be to come."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    CONTRADICTING = "contradicting"
    REFUSED = "refused"


@dataclass(frozen=True)
class Note:
    """Why the piece at `index` was refused, or what it contradicts."""

    index: int
    fate: Fate
    reason: str


@dataclass(frozen=True)
class Received:
    """What became of a list of feedback; `late` of those that are new came long after."""

    counts: Mapping[Fate, int] = field(default_factory=dict)
    late: int = 0
    notes: Sequence[Note] = ()

    def plus(self, other: Received, *, offset: int) -> Received:
        """Both lists as one, where `offset` pieces came before those of `other`."""
        counts = {fate: self.counts.get(fate, 0) + other.counts.get(fate, 0) for fate in Fate}
        notes = [Note(one.index + offset, one.fate, one.reason) for one in other.notes]
        return Received(counts, self.late + other.late, (*self.notes, *notes))

    def to_json(self) -> dict[str, Any]:
        """As it is answered."""
        return {
            **{fate.value: self.counts.get(fate, 0) for fate in Fate},
            "late": self.late,
            "notes": [
                {"index": one.index, "class": one.fate.value, "reason": one.reason}
                for one in self.notes
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Takes feedback."""

    outcomes: Outcomes
    series_of: SeriesOf = str
    now: Callable[[], float]

    def receive(self, pieces: Sequence[Any], *, by: str) -> Received:
        """Read, check and keep them, and say what became of each; `by` is who sends them.

        What cannot be is refused by itself, all else is kept. Raises Unreachable; then nothing is.
        """
        now = self.now()
        said: dict[int, Said] = {}
        notes: list[Note] = []
        for index, piece in enumerate(pieces):
            try:
                said[index] = read(piece, by=by, now=now, series_of=self.series_of)
            except SignatureMismatch as error:
                notes.append(Note(index, Fate.REFUSED, str(error)))
        asked = self._asked(said.values())
        for index, one in list(said.items()):
            if (reason := _unfit(one.outcome, pieces[index], asked)) is not None:
                notes.append(Note(index, Fate.REFUSED, reason))
                del said[index]
        became = dict(zip(said, self.outcomes.tell([*said.values()]), strict=True)) if said else {}
        fates = {index: _fate(said[index], became[index], asked) for index in said}
        notes += [
            Note(index, fate, _CONTRADICTS)
            for index, fate in fates.items()
            if fate is Fate.CONTRADICTING
        ]
        late = sum(
            _is_late(said[index].outcome, asked)
            for index, what in became.items()
            if what in (Heard.NEW, Heard.CORRECTED)
        )
        refused = len(pieces) - len(said)
        counts = Counter(fates.values()) + Counter({Fate.REFUSED: refused})
        return Received(counts, late, sorted(notes, key=lambda note: note.index))

    def _asked(self, said: Iterable[Said]) -> Mapping[str, Asked]:
        """What the log has of the predictions that are spoken of."""
        abouts = (one.outcome.about for one in said)
        ids = {about.prediction_id for about in abouts if isinstance(about, OfPrediction)}
        return self.outcomes.asked(ids) if ids else {}


def read(piece: Any, *, by: str, now: float, series_of: SeriesOf = str) -> Said:
    """One JSON object as what it says; `now` is in seconds since 1970. Raises SignatureMismatch."""
    if not isinstance(piece, Mapping):
        raise SignatureMismatch("feedback", expected="an object", got=describe(piece))
    for name in piece:
        if name not in _FIELDS:
            raise SignatureMismatch(
                str(name), expected="one of " + ", ".join(_FIELDS), got="an unknown field"
            )
    about = _about(piece, series_of)
    happened = _moment(piece["at"]) if "at" in piece else _usual(about, now)
    value = _value(piece.get("actual"))
    corrects = piece.get("correct", False)
    if not isinstance(corrects, bool):
        raise SignatureMismatch("correct", expected="true or false", got=describe(corrects))
    outcome = Outcome(about=about, value=value, at=happened, by=by, told=now)
    return Said(outcome=outcome, corrects=corrects)


def date_of(text: str) -> str:
    """A date as outcomes are kept by: without its time where that is midnight.

    Raises ValueError for what is none, and for one with a time zone.
    """
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError(f"{text}: has a time zone")
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat()


def _about(piece: Mapping[str, Any], series_of: SeriesOf) -> OfPrediction | OfDate:
    named = [name for name in ("prediction_id", "series", "model") if name in piece]
    if len(named) != 1:
        raise SignatureMismatch(
            "feedback",
            expected="one of prediction_id, or series or model with a date",
            got=" and ".join(named) or "none of them",
        )
    [name] = named
    text = _text(name, piece[name])
    wrong = "date" if name == "prediction_id" else "row"
    if wrong in piece:
        raise SignatureMismatch(wrong, expected=f"none beside {name}", got=describe(piece[wrong]))
    if name == "prediction_id":
        return OfPrediction(text, _row(piece.get("row", 0)))
    said = piece.get("date")
    try:
        date = date_of(said if isinstance(said, str) else "")
    except ValueError:
        raise SignatureMismatch("date", expected=_A_DATE, got=describe(said)) from None
    return OfDate(text if name == "series" else series_of(text), date)


def _row(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_ROW:
        raise SignatureMismatch(
            "row", expected="the row's number, counted from 0", got=describe(value)
        )
    return value


def _text(name: str, value: Any) -> str:
    is_text = isinstance(value, str) and 0 < len(value) <= _MOST_TEXT
    if not is_text or _CONTROL.search(value):
        expected = f"a text of 1 to {_MOST_TEXT} characters, none of them a control character"
        raise SignatureMismatch(name, expected=expected, got=describe(value))
    return str(value)


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text("actual", value)
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise SignatureMismatch("actual", expected=_AN_ACTUAL, got=describe(value))


def _moment(value: Any) -> float:
    """An ISO datetime as seconds since 1970; without a zone it is UTC."""
    try:
        moment = datetime.datetime.fromisoformat(value if isinstance(value, str) else "")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise SignatureMismatch("at", expected=_A_MOMENT, got=describe(value)) from None


def _usual(about: OfPrediction | OfDate, now: float) -> float:
    """When it came true, where nobody says: at its date, or just now."""
    return _moment(about.date) if isinstance(about, OfDate) else now


def _unfit(outcome: Outcome, piece: Mapping[str, Any], asked: Mapping[str, Asked]) -> str | None:
    """Why an outcome cannot be one of the prediction that it names; None if it can."""
    about = outcome.about
    if not isinstance(about, OfPrediction) or about.prediction_id not in asked:
        return None
    record = asked[about.prediction_id]
    if record.status >= 400:
        return f"prediction_id: that request was refused ({record.status}): nothing was predicted"
    if "row" not in piece and record.rows > 1:
        return f"row: expected 0 to {record.rows - 1}, got nothing"
    if about.row >= max(record.rows, 1):
        return f"row: expected 0 to {max(record.rows, 1) - 1}, got {about.row}"
    return None


def _fate(said: Said, became: Heard, asked: Mapping[str, Asked]) -> Fate:
    about = said.outcome.about
    if became is Heard.SAME:
        return Fate.DUPLICATE
    if became is Heard.CONTRADICTED:
        return Fate.CONTRADICTING
    if isinstance(about, OfPrediction) and about.prediction_id not in asked:
        return Fate.UNKNOWN
    return Fate.ACCEPTED


def _is_late(outcome: Outcome, asked: Mapping[str, Asked]) -> bool:
    about = outcome.about
    record = asked.get(about.prediction_id) if isinstance(about, OfPrediction) else None
    return record is not None and outcome.told - record.time > LATE_SECONDS


def pending(outcomes: Outcomes, since: float, until: float) -> int:
    """How many rows something was told of in that time, of predictions that are not in the log."""
    waiting, page = 0, list[OfPrediction]()

    def unknown() -> int:
        found = outcomes.asked({one.prediction_id for one in page})
        return sum(one.prediction_id not in found for one in page)

    for about in outcomes.told(since, until):
        page.append(about)
        if len(page) == _PAGE:
            waiting += unknown()
            page.clear()
    return waiting + unknown()
