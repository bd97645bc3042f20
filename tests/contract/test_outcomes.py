"""What came true, in memory, on sqlite and on PostgreSQL: one suite over all three."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from registry import database_urls
from registry.errors import SettingsError, Unreachable
from registry.outcomes import Heard, OfDate, OfPrediction, Outcome, Outcomes, Said, Value
from registry.settings import Settings
from registry.sql_outcomes import SqlOutcomes, open_outcomes
from tests.fakes.outcomes import MemoryOutcomes

ROW = OfPrediction("p1", 0)
DAY = OfDate("USD/BRL", "2026-11-02")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def outcomes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outcomes]:
    if request.param == "memory":
        yield MemoryOutcomes()
        return
    url = f"sqlite:///{tmp_path / 'new' / 'predictions.db'}"
    if request.param == "postgresql":
        url = database_urls.driver(request.getfixturevalue("postgres_url"))
    with closing(SqlOutcomes(url)) as made:
        yield made


def said(
    about: OfPrediction | OfDate, value: Value, *, corrects: bool = False, told: float = 10.0
) -> Said:
    outcome = Outcome(about=about, value=value, at=5.0, by="ada", told=told)
    return Said(outcome=outcome, corrects=corrects)


def test_what_is_told_is_there_as_it_was_told(outcomes: Outcomes) -> None:
    label, number = said(OfPrediction("p1", 1), "versicolor"), said(ROW, 0.1 + 0.2)
    day = said(DAY, 5.43)
    assert [*outcomes.tell([label, number, day])] == [Heard.NEW] * 3
    assert outcomes.of_predictions(["p1", "p2"]) == {
        ROW: number.outcome,
        OfPrediction("p1", 1): label.outcome,
    }
    assert outcomes.of_dates("USD/BRL", ["2026-11-02", "2026-11-03"]) == {"2026-11-02": day.outcome}
    assert outcomes.of_dates("EUR/BRL", ["2026-11-02"]) == {}
    assert outcomes.of_predictions([]) == {}


@pytest.mark.parametrize("about", [ROW, DAY], ids=["prediction", "date"])
def test_of_two_values_the_first_stands_until_it_is_corrected(
    outcomes: Outcomes, about: OfPrediction | OfDate
) -> None:
    first, other = said(about, 1.0), said(about, 2.0, told=20.0)
    assert [*outcomes.tell([first])] == [Heard.NEW]
    assert [*outcomes.tell([first, said(about, 1.0, told=11.0)])] == [Heard.SAME] * 2
    assert [*outcomes.tell([other])] == [Heard.CONTRADICTED]
    assert outcomes.history(about) == [first.outcome]
    corrected = said(about, 2.0, corrects=True, told=30.0)
    assert [*outcomes.tell([corrected])] == [Heard.CORRECTED]
    assert [*outcomes.tell([corrected])] == [Heard.SAME]
    assert outcomes.history(about) == [first.outcome, corrected.outcome]
    if isinstance(about, OfPrediction):
        assert outcomes.of_predictions(["p1"]) == {about: corrected.outcome}
    else:
        assert outcomes.of_dates("USD/BRL", ["2026-11-02"]) == {"2026-11-02": corrected.outcome}


def test_within_one_list_the_first_stands_too(outcomes: Outcomes) -> None:
    became = outcomes.tell(
        [said(ROW, "a"), said(ROW, "a"), said(ROW, "b"), said(ROW, "c", corrects=True)]
    )
    assert [*became] == [Heard.NEW, Heard.SAME, Heard.CONTRADICTED, Heard.CORRECTED]
    assert [one.value for one in outcomes.history(ROW)] == ["a", "c"]
    assert outcomes.history(OfPrediction("nobody")) == []


def test_a_number_and_its_label_are_one_value(outcomes: Outcomes) -> None:
    outcomes.tell([said(ROW, 2.0)])
    assert [*outcomes.tell([said(ROW, "2"), said(ROW, "2.5")])] == [
        Heard.SAME,
        Heard.CONTRADICTED,
    ]


@pytest.mark.parametrize(
    "value",
    [5e-324, 1.7976931348623157e308, -1e-300, 0.1 + 0.2, 2.0**53, "é 日本 \U0001f600", "'%s;--"],
)
def test_whatever_is_told_comes_back_as_it_was(outcomes: Outcomes, value: Value) -> None:
    about = [OfPrediction(f"id {value}", 2**31 - 1), OfDate(f"series {value}", "9999-12-31")]
    outcomes.tell([said(one, value) for one in about])
    assert [outcomes.history(one)[-1].value for one in about] == [value] * 2
    assert outcomes.tell([said(one, value) for one in about]) == [Heard.SAME] * 2


def test_what_was_told_in_a_time_is_found_page_by_page(outcomes: Outcomes) -> None:
    many = [said(OfPrediction(f"p{n:04}", n % 3), "x", told=float(n // 700)) for n in range(1500)]
    outcomes.tell([*many, said(DAY, 1.0)])
    expected = [one.outcome.about for one in many if 1.0 <= one.outcome.told < 2.0]
    assert [*outcomes.told(1.0, 2.0)] == expected
    assert len([*outcomes.told(0.0, 3.0)]) == 1500


def test_more_ids_than_one_question_takes(outcomes: Outcomes) -> None:
    ids = [f"p{n}" for n in range(1201)]
    outcomes.tell([said(OfPrediction(one), 1.0) for one in ids])
    assert len(outcomes.of_predictions(ids)) == 1201


def test_of_many_who_tell_at_once_one_is_the_first(url: str) -> None:
    def tell(number: int) -> list[Heard]:
        with closing(SqlOutcomes(url)) as mine:
            pieces = [said(OfPrediction(f"p{n}"), float(number)) for n in range(20)]
            return [*mine.tell(pieces)]

    with ThreadPoolExecutor(8) as pool:
        became = [*pool.map(tell, range(8))]
    for n in range(20):
        assert sorted(one[n] for one in became) == [Heard.CONTRADICTED] * 7 + [Heard.NEW]
    with closing(SqlOutcomes(url)) as mine:
        values = {one.value for one in mine.of_predictions([f"p{n}" for n in range(20)]).values()}
        assert len(values) == 1, "a list is kept whole"


def test_the_database_away_is_unreachable_and_off_is_no_place(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="store of outcomes.*BATON_PREDICTIONS_URL"):
        SqlOutcomes("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    with pytest.raises(SettingsError, match="BATON_PREDICTIONS_URL: is off"):
        open_outcomes(Settings(home=tmp_path, predictions_url="off").resolved())
    opened = open_outcomes(Settings(home=tmp_path).resolved())
    opened.close()
    assert (tmp_path / "predictions.db").is_file()
