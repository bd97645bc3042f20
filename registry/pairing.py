"""What was predicted beside what came true, row by row.

A record's outputs are read as the kinds write them: `ds`, `yhat` and its band; `label`,
`confidence`, `probabilities`; or what a graph calls its outputs. What was told of a prediction by
its id goes before what was told of its series at a date. Pure of I/O but for its ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, Final, Protocol

from registry.feedback import date_of
from registry.outcomes import OfPrediction, Outcome, Outcomes, Value, label_of
from registry.predictions import Prediction, PredictionLog

_PAGE: Final = 500
_LABELS: Final = ("label", "output_label", "predictions", "prediction", "variable")
_PROBABILITIES: Final = ("probabilities", "output_probability", "probability")
_CONFIDENCES: Final = ("confidence", "probability", "score")
_SLACK: Final = 1e-3  # of float32, beyond 0 and 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One row of a record's outputs; `date` is canonical (`feedback.date_of`)."""

    predicted: Value
    is_label: bool = False
    confidence: float | None = None
    lower: float | None = None
    upper: float | None = None
    date: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a version besides its answers.

    `series` are names under which outcomes by date may be kept, beside the model's own; `scale` is
    the mean absolute error of a naive forecast; `labels` maps spellings to the class they mean.
    """

    series: tuple[str, ...] = ()
    scale: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


FactsOf = Callable[[Prediction], Facts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One predicted value and what came true: both numbers, or both labels (as text).

    `horizon` is the place of a forecast's date among the dates of its record, from 1 on: the day
    ahead. `time` is when it was asked, `at` when the truth came about, `told` when that was said,
    all in seconds since 1970.
    """

    prediction_id: str
    row: int
    model: str
    version: str
    digest: str
    seq: int | None
    arm: str
    series: str
    time: float
    at: float
    told: float
    predicted: Value
    truth: Value
    confidence: float | None = None
    lower: float | None = None
    upper: float | None = None
    horizon: int | None = None
    date: str = ""
    scale: float | None = None


class Truth(Protocol):
    """What came true of a model's predictions; may raise Unreachable."""

    def pairs(self, model: str, since: float, until: float) -> Iterator[Pair]:
        """Of the predictions asked with since ≤ time < until, oldest first."""


@dataclass(frozen=True)
class LoggedTruth:
    """The port over the prediction log and what was told; `facts` knows the versions."""

    log: PredictionLog
    outcomes: Outcomes
    facts: FactsOf = lambda _record: Facts()

    def pairs(self, model: str, since: float, until: float) -> Iterator[Pair]:
        """See `Truth.pairs`."""
        return paired(self.log, self.outcomes, model, since, until, facts=self.facts)


def paired(
    log: PredictionLog,
    outcomes: Outcomes,
    model: str,
    since: float,
    until: float,
    *,
    facts: FactsOf = lambda _record: Facts(),
) -> Iterator[Pair]:
    """Every row of a model's predictions of which something came true, oldest first, in pages.

    `since` ≤ time of the prediction < `until`, in seconds since 1970.
    """
    records = log.predictions(model, since, until)
    while page := [*islice(records, _PAGE)]:
        read = [(record, facts(record), answers(record)) for record in page]
        told = outcomes.of_predictions([record.prediction_id for record, _, found in read if found])
        dated = _dated(outcomes, read)
        for record, known, found in read:
            yield from _pairs(record, known, found, told, dated)


def answers(record: Prediction) -> Sequence[Answer]:
    """What a record answered, row by row; nothing where it was refused or cannot be understood."""
    outputs = {name: value for name, value in record.outputs.items() if isinstance(value, list)}
    lengths = {len(value) for value in outputs.values()}
    if record.status >= 400 or len(lengths) != 1:
        return ()
    return _forecast(outputs) if "yhat" in outputs else _table(outputs)


def _forecast(outputs: Mapping[str, list[Any]]) -> Sequence[Answer]:
    """`yhat` at `ds`, between `yhat_lower` and `yhat_upper` where there is a band."""
    yhat = outputs["yhat"]
    nothing = [None] * len(yhat)
    columns = (outputs.get(name, nothing) for name in ("ds", "yhat_lower", "yhat_upper"))
    found = []
    for value, ds, lower, upper in zip(yhat, *columns, strict=True):
        if not _is_number(value):
            return ()
        date = _canonical(ds)
        band = (lower, upper) if _is_number(lower) and _is_number(upper) else (None, None)
        found.append(Answer(predicted=float(value), date=date, lower=band[0], upper=band[1]))
    return found


def _table(outputs: Mapping[str, list[Any]]) -> Sequence[Answer]:
    """A label or number a row, with the probability of the likeliest class if there are any."""
    columns = {name: [_bare(cell) for cell in cells] for name, cells in outputs.items()}
    flat = {name: c for name, c in columns.items() if all(map(_is_scalar, c))}
    spread = {name: c for name, c in columns.items() if all(map(_is_distribution, c))}
    probabilities = _chosen(spread, _PROBABILITIES)
    alone = next((n for n in _CONFIDENCES if len(flat) > 1 and _are_shares(flat.get(n))), None)
    sure = flat.pop(alone) if alone else [max(_numbers(cell)) for cell in probabilities or ()]
    predicted = _chosen(flat, _LABELS)
    if predicted is None and probabilities is not None:
        predicted = [_likeliest(cell) for cell in probabilities]
    if predicted is None:
        return ()
    if not sure and _are_floats(predicted):
        return [Answer(predicted=float(one)) for one in predicted]
    return [
        Answer(predicted=label_of(one), is_label=True, confidence=_share(how_sure))
        for one, how_sure in zip_longest(predicted, sure)
    ]


def _chosen(columns: Mapping[str, list[Any]], names: Sequence[str]) -> list[Any] | None:
    """The column that has one of these names, the first of them; else the only one there is."""
    named = next((columns[name] for name in names if name in columns), None)
    if named is None and len(columns) == 1:
        return next(iter(columns.values()))
    return named


def _bare(cell: Any) -> Any:
    """A cell that is a list of one thing is that thing: graphs answer [n, 1]."""
    while isinstance(cell, list) and len(cell) == 1:
        [cell] = cell
    return cell


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _is_scalar(cell: Any) -> bool:
    return isinstance(cell, int | float | str)


def _numbers(cell: Any) -> Sequence[Any]:
    return [*cell.values()] if isinstance(cell, Mapping) else cell if isinstance(cell, list) else ()


def _is_distribution(cell: Any) -> bool:
    """Whether it can be the probabilities of at least two classes."""
    numbers = _numbers(cell)
    if len(numbers) < 2 or not all(map(_is_number, numbers)):
        return False
    return all(-_SLACK <= number <= 1 + _SLACK for number in numbers)


def _are_floats(cells: Sequence[Any]) -> bool:
    """Whether they are numbers, not classes; JSONB makes 1e20 a whole number, alone of a column."""
    return any(isinstance(cell, float) for cell in cells) and all(map(_is_number, cells))


def _are_shares(cells: Sequence[Any] | None) -> bool:
    """Whether it can be how sure each row is."""
    return cells is not None and all(
        isinstance(cell, float) and -_SLACK <= cell <= 1 + _SLACK for cell in cells
    )


def _share(sure: float | None) -> float | None:
    return None if sure is None else min(max(sure, 0.0), 1.0)


def _likeliest(cell: Any) -> str:
    named = cell if isinstance(cell, Mapping) else {str(n): p for n, p in enumerate(cell)}
    return str(max(named, key=lambda name: named[name]))


def _canonical(ds: Any) -> str:
    try:
        return date_of(ds) if isinstance(ds, str) else ""
    except ValueError:
        return ""


_Read = tuple[Prediction, Facts, Sequence[Answer]]
_Dated = Mapping[str, Mapping[str, Outcome]]


def _dated(outcomes: Outcomes, read: Sequence[_Read]) -> _Dated:
    """What came true at the dates of these records, by series and date."""
    wanted: dict[str, set[str]] = {}
    for record, known, found in read:
        dates = {answer.date for answer in found if answer.date}
        for name in (record.model, *known.series) if dates else ():
            wanted.setdefault(name, set()).update(dates)
    return {name: outcomes.of_dates(name, dates) for name, dates in wanted.items()}


def _pairs(
    record: Prediction,
    known: Facts,
    found: Sequence[Answer],
    told: Mapping[OfPrediction, Outcome],
    dated: _Dated,
) -> Iterator[Pair]:
    ahead = {date: n for n, date in enumerate(sorted({a.date for a in found if a.date}), start=1)}
    for row, answer in enumerate(found):
        outcome = told.get(OfPrediction(record.prediction_id, row))
        names = (*known.series, record.model) if answer.date else ()
        at_date = (dated[name].get(answer.date) for name in names)
        outcome = outcome or next((one for one in at_date if one), None)
        if outcome is None:
            continue
        is_label = answer.is_label or isinstance(outcome.value, str)
        yield Pair(
            prediction_id=record.prediction_id,
            row=row,
            model=record.model,
            version=record.version,
            digest=record.digest,
            seq=record.seq,
            arm=record.arm,
            series=known.series[0] if known.series else "",
            time=record.time,
            at=outcome.at,
            told=outcome.told,
            predicted=_named(answer.predicted, known) if is_label else answer.predicted,
            truth=_named(outcome.value, known) if is_label else outcome.value,
            confidence=answer.confidence,
            lower=answer.lower,
            upper=answer.upper,
            horizon=ahead.get(answer.date),
            date=answer.date,
            scale=known.scale,
        )


def _named(value: Value, known: Facts) -> str:
    """A value as the class that it means."""
    label = label_of(value)
    return known.labels.get(label.lower(), label)
