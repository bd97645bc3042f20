"""The comparison with other servers: what wrk says, whose answer is right, ratios and verdicts."""

from __future__ import annotations

import pytest

from benchmarks.front import wrk
from benchmarks.front.contender import Goals, differs
from benchmarks.front.measured import MANY, Measured, Memory, all_ratios, ratios
from benchmarks.front.wrk import Load
from benchmarks.node import CommandFailed
from benchmarks.results import Row

WRK = """Running 4s test @ http://127.0.0.1:8000/predict
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.80ms    0.42ms   9.81ms   81.35%
    Req/Sec     8.92k   310.12     9.40k    75.00%
  Latency Distribution
     50%    1.75ms
     75%    1.98ms
     90%    2.24ms
     99%  {p99}
  35502 requests in 4.00s, 12.30MB read
Requests/sec:   8873.11
Transfer/sec:      3.07MB
"""


def load(per_second: float, cpu_ms: float = 0.2, shares: tuple[float, ...] = (0.5, 0.5)) -> Load:
    return Load(per_second, 2.0, cpu_ms, shares, (1, 2))


def measured(
    name: str, rates: list[float], *, goals: Goals | None = None, worker: float = 100.0
) -> Measured:
    loads = {MANY: [load(rate) for rate in rates], 1: [load(rate / 2) for rate in rates]}
    return Measured("iris", name, goals or Goals(), loads, [Memory(worker, 300.0)] * len(rates))


def of(rows: list[Row], part: str) -> Row:
    [row] = [row for row in rows if part in row.name]
    return row


@pytest.mark.parametrize(
    ("said", "milliseconds"), [("2.61ms", 2.61), ("640.00us", 0.64), ("1.52s", 1520.0)]
)
def test_what_wrk_prints_is_read_in_milliseconds(said: str, milliseconds: float):
    found = wrk.read(WRK.format(p99=said))
    assert found.p99_ms == pytest.approx(milliseconds)
    assert (found.requests, found.per_second) == (35502, 8873.11)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 1", "  Socket errors: connect 0, read 0, timeout 3"]
)
def test_a_load_with_any_answer_that_is_none_is_no_measurement(line: str):
    with pytest.raises(CommandFailed, match=line.strip()):
        wrk.read(f"{WRK.format(p99='2.61ms')}{line}\n")


def test_a_load_without_any_answer_is_no_measurement():
    with pytest.raises(CommandFailed, match="no answer"):
        wrk.read(WRK.format(p99="0.00us").replace("35502 requests", "0 requests"))


@pytest.mark.parametrize(
    ("shares", "is_lopsided"),
    [((0.5, 0.5), False), ((0.6, 0.3), False), ((0.9, 0.05), True), ((1.0,), True)],
)
def test_a_load_is_lopsided_if_one_of_two_workers_got_nearly_everything(shares, is_lopsided: bool):
    assert load(1.0, shares=shares).is_lopsided == is_lopsided


def test_a_ratio_is_within_a_round_and_its_median_is_held_against_the_goal():
    ours = measured("baton", [9000.0, 1000.0, 8000.0])
    theirs = measured("slow", [100.0, 10.0, 400.0], goals=Goals(times=50))
    row = of(ratios(ours, theirs), "16 connections")
    assert (row.least, row.median, row.most) == (20.0, 90.0, 100.0)
    assert row.verdict == "met"
    missed = measured("slow", [100.0, 10.0, 400.0], goals=Goals(times=91))
    assert of(ratios(ours, missed), "16 connections").verdict == "**missed**"


def test_rounds_that_were_not_measured_together_are_not_compared():
    with pytest.raises(ValueError, match="zip"):
        ratios(measured("baton", [9000.0]), measured("slow", [100.0, 100.0]))


def test_memory_and_cpu_have_to_be_less_and_rates_to_be_more():
    ours = measured("baton", [9000.0], worker=50.0)
    theirs = measured("other", [9000.0], goals=Goals(1.2, 1.0, 0.9, 0.6), worker=100.0)
    rows = ratios(ours, theirs)
    assert [(row.verdict, row.median) for row in rows] == [
        ("**missed**", 1.0),
        ("met", 1.0),
        ("**missed**", 1.0),
        ("met", 0.5),
    ]


def test_one_connection_and_cpu_are_compared_only_where_there_is_a_goal():
    rows = ratios(measured("baton", [9.0]), measured("other", [9.0], goals=Goals(times=1)))
    assert [row.name for row in rows] == [
        "iris: baton ÷ other, 16 connections",
        "iris: baton ÷ other, memory of a worker",
    ]


def test_every_server_is_held_against_ours_on_the_same_model():
    forecast = Measured("forecast", "slow", Goals(), {MANY: [load(2.0)]}, [Memory(100.0, 100.0)])
    ours = Measured("forecast", "baton", Goals(), {MANY: [load(8.0)]}, [Memory(10.0, 10.0)])
    rows = all_ratios(
        {
            ("iris", "baton"): measured("baton", [900.0]),
            ("iris", "slow"): measured("slow", [100.0]),
            ("forecast", "baton"): ours,
            ("forecast", "slow"): forecast,
        },
        "baton",
    )
    assert [row.median for row in rows if "connections" in row.name] == [9.0, 4.0]


def test_the_notes_say_that_one_worker_had_everything_even_so():
    lopsided = Load(9.0, 2.0, 0.2, (0.9, 0.1), (1, 2), tries=3)
    one = Measured("iris", "other", Goals(), {MANY: [lopsided]}, [Memory(1.0, 2.0)])
    assert "(after 2 repeated loads; 1 of 1 hit one worker even so)" in one.notes()[0]


@pytest.mark.parametrize(
    ("said", "right", "tolerance"),
    [
        ([1.0], [0.0], 0.0),
        ([0.0, 0.0], [0.0], 0.0),
        ([], [0.0], 0.0),
        ([float("nan")], [0.0], 1e-4),
        ([5.001], [5.0], 1e-4),
    ],
)
def test_a_wrong_answer_is_told_from_a_right_one(said, right, tolerance: float):
    assert differs(said, right, tolerance)


def test_an_answer_within_the_tolerance_is_right():
    assert not differs([5.0004, 0.00009], [5.0, 0.0], 1e-4)
