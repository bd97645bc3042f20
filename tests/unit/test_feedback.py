"""Feedback: what is read, what is refused, and what becomes of it beside the prediction log."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import SignatureMismatch
from registry.feedback import (
    LATE_SECONDS,
    Fate,
    Note,
    Received,
    Receiver,
    date_of,
    pending,
    read,
)
from registry.outcomes import OfDate, OfPrediction, label_of
from registry.predictions import Prediction
from tests.fakes.outcomes import MemoryOutcomes
from tests.fakes.prediction_log import record

NOW = 1_000_000.0
MIDNIGHT = dt.datetime(2026, 11, 2, tzinfo=dt.UTC).timestamp()


def receiver(*records: Prediction) -> Receiver:
    return Receiver(outcomes=MemoryOutcomes(log=[*records]), now=lambda: NOW)


def fates(received: Received) -> dict[str, int]:
    return {fate.value: count for fate, count in received.counts.items() if count}


def test_a_piece_is_read_as_it_is_meant() -> None:
    one = read({"prediction_id": "p", "actual": 3}, by="ada", now=NOW)
    assert (one.outcome.about, one.outcome.value, one.corrects) == (OfPrediction("p"), 3.0, False)
    assert (one.outcome.at, one.outcome.told, one.outcome.by) == (NOW, NOW, "ada")
    day = {"series": "USD/BRL", "date": "2026-11-02T00:00:00", "actual": 5.5, "correct": True}
    two = read(day, by="", now=NOW)
    assert (two.outcome.about, two.corrects) == (OfDate("USD/BRL", "2026-11-02"), True)
    assert two.outcome.at == MIDNIGHT
    named = {"model": "ProphetModel", "date": "2026-11-02", "actual": 5.5}
    series_of = {"ProphetModel": "USD/BRL"}.__getitem__
    assert read(named, by="", now=NOW, series_of=series_of).outcome.about == two.outcome.about


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("2026-11-02", MIDNIGHT),
        ("2026-11-02T01:00:00Z", MIDNIGHT + 3600),
        ("2026-11-02T01:00:00+01:00", MIDNIGHT),
        ("2026-11-02T01:00:00", MIDNIGHT + 3600),
    ],
)
def test_when_it_came_true_is_utc_unless_a_zone_is_said(at: str, seconds: float) -> None:
    said = read({"prediction_id": "p", "actual": 1, "at": at}, by="", now=NOW)
    assert said.outcome.at == seconds


GOOD = {"prediction_id": "p", "actual": 1}


@pytest.mark.parametrize(
    ("piece", "field"),
    [
        (5, "feedback"),
        ({}, "feedback"),
        ({"actual": 1}, "feedback"),
        ({**GOOD, "series": "a", "date": "2026-11-02"}, "feedback"),
        ({**GOOD, "prediction_id": ""}, "prediction_id"),
        ({**GOOD, "prediction_id": "a\x00"}, "prediction_id"),
        ({**GOOD, "prediction_id": "a" * 201}, "prediction_id"),
        ({**GOOD, "prediction_id": 5}, "prediction_id"),
        ({**GOOD, "row": -1}, "row"),
        ({**GOOD, "row": True}, "row"),
        ({**GOOD, "row": 1.0}, "row"),
        ({**GOOD, "row": 2**31}, "row"),
        ({**GOOD, "date": "2026-11-02"}, "date"),
        ({**GOOD, "actual": None}, "actual"),
        ({**GOOD, "actual": []}, "actual"),
        ({**GOOD, "actual": 10**400}, "actual"),
        ({**GOOD, "actual": ""}, "actual"),
        ({"prediction_id": "p"}, "actual"),
        ({**GOOD, "at": 5}, "at"),
        ({**GOOD, "at": "yesterday"}, "at"),
        ({**GOOD, "correct": "yes"}, "correct"),
        ({**GOOD, "truth": 1}, "truth"),
        ({"series": "a", "actual": 1}, "date"),
        ({"series": "a", "date": "2026-11-02T00:00:00Z", "actual": 1}, "date"),
        ({"series": "a", "date": "2026-13-02", "actual": 1}, "date"),
        ({"series": "a", "date": 20261102, "actual": 1}, "date"),
        ({"series": "a", "date": "2026-11-02", "row": 0, "actual": 1}, "row"),
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(piece: Any, field: str) -> None:
    with pytest.raises(SignatureMismatch) as refused:
        read(piece, by="", now=NOW)
    assert refused.value.field == field


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
NAMES = st.sampled_from(["prediction_id", "row", "series", "date", "actual", "at"]) | st.text()


@settings(deadline=None)
@given(SCALARS | st.lists(SCALARS) | st.dictionaries(NAMES, SCALARS | st.lists(SCALARS)))
def test_whatever_comes_is_read_or_refused(piece: Any) -> None:
    received = receiver().receive([piece], by="")
    assert sum(received.counts.values()) == 1


def test_each_piece_has_its_fate() -> None:
    mine = receiver(record("p1"), record("three", rows=3), record("bad", status=422))
    first = mine.receive(
        [
            {"prediction_id": "p1", "actual": "a"},
            {"prediction_id": "p1", "actual": "a"},
            {"prediction_id": "p1", "actual": "b"},
            {"prediction_id": "not yet", "actual": "a"},
            {"prediction_id": "three", "actual": "a"},
            {"prediction_id": "three", "row": 3, "actual": "a"},
            {"prediction_id": "three", "row": 2, "actual": "a"},
            {"prediction_id": "bad", "actual": "a"},
            "nonsense",
            {"series": "s", "date": "2026-11-02", "actual": 1},
        ],
        by="ada",
    )
    assert fates(first) == {
        "accepted": 3,
        "duplicate": 1,
        "contradicting": 1,
        "unknown": 1,
        "refused": 4,
    }
    assert [(note.index, note.fate.value) for note in first.notes] == [
        (2, "contradicting"),
        (4, "refused"),
        (5, "refused"),
        (7, "refused"),
        (8, "refused"),
    ]
    reasons = {note.index: note.reason for note in first.notes}
    assert reasons[4] == "row: expected 0 to 2, got nothing"
    assert "was refused (422)" in reasons[7]
    corrected = mine.receive([{"prediction_id": "p1", "actual": "b", "correct": True}], by="ada")
    assert fates(corrected) == {"accepted": 1}


def test_an_unknown_prediction_becomes_known_with_its_record() -> None:
    outcomes = MemoryOutcomes()
    mine = Receiver(outcomes=outcomes, now=lambda: NOW)
    piece = {"prediction_id": "p9", "actual": 1}
    assert fates(mine.receive([piece], by="")) == {"unknown": 1}
    assert pending(outcomes, 0, 2 * NOW) == 1
    assert fates(mine.receive([piece], by="")) == {"duplicate": 1}
    outcomes.log.append(record("p9"))
    assert pending(outcomes, 0, 2 * NOW) == 0
    assert fates(mine.receive([{**piece, "row": 0}], by="")) == {"duplicate": 1}


def test_late_is_counted_once_and_only_where_the_prediction_is_known() -> None:
    mine = receiver(record("old", time=NOW - LATE_SECONDS - 1), record("new", time=NOW - 1))
    pieces = [{"prediction_id": one, "actual": 1} for one in ("old", "new", "nobody")]
    assert mine.receive(pieces, by="").late == 1
    assert mine.receive(pieces, by="").late == 0


def test_nothing_to_keep_asks_nobody() -> None:
    assert fates(receiver().receive([], by="")) == {}


def test_two_lists_are_one() -> None:
    one = Received({Fate.ACCEPTED: 2}, 1, [Note(1, Fate.REFUSED, "x")])
    both = one.plus(one, offset=10)
    assert (both.counts[Fate.ACCEPTED], both.late) == (4, 2)
    assert [note.index for note in both.notes] == [1, 11]
    assert both.to_json()["notes"][1] == {"index": 11, "class": "refused", "reason": "x"}


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-11-02", "2026-11-02"),
        ("2026-11-02T00:00:00", "2026-11-02"),
        ("2026-11-02 06:30", "2026-11-02T06:30:00"),
        ("2026-11-02T06:30:00.500", "2026-11-02T06:30:00.500000"),
    ],
)
def test_a_date_has_one_form(text: str, date: str) -> None:
    assert date_of(text) == date
    assert date_of(date) == date


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (2, "2"),
        (2.0, "2"),
        (-0.0, "0"),
        ("2", "2"),
        (0.1, "0.1"),
        (True, "true"),
        (1e300, "1e+300"),
    ],
)
def test_a_value_has_one_label(value: Any, label: str) -> None:
    assert label_of(value) == label
