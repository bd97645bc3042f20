"""The sequential test: false alarms are bounded however often one looks; what is worse is found."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sequences import Setting, Test, chance_of_an_alarm, ours, peeking, windows
from benchmarks.watching import measured
from registry.sequential import ALTERNATIVES, ANYTHING, LEAST_BAD, Share, evidence, has_grown

PROMISED = 0.01
USUAL = (0.05, 0.05, 0.05)


def share_of_alarms(test: Test, *, known: int, number: int = 300) -> float:
    """Of windows of a version that is no worse, looked at after every request."""
    setting = Setting(known=known, watched=1_500, before=USUAL, after=USUAL)
    found = windows(setting, number=number, seed=3, test=test)
    return sum(one is not None for one in found) / number


@pytest.mark.parametrize("known", [1_000, 20_000])
def test_a_version_that_is_no_worse_is_hardly_ever_found(known: int) -> None:
    assert share_of_alarms(ours, known=known) <= PROMISED


def test_looking_at_p_values_again_and_again_is_seen_to_break_the_bound() -> None:
    assert share_of_alarms(peeking, known=20_000) > 2 * PROMISED


@pytest.mark.parametrize("known", [1_000, 5_000, 20_000])
def test_twice_the_errors_are_found_within_500_requests(known: int) -> None:
    setting = Setting(known=known, watched=3_000, before=USUAL, after=(0.10, *USUAL[1:]))
    found = windows(setting, number=150, seed=4)
    assert statistics.median(3_000 if one is None else one for one in found) <= 500


@pytest.mark.parametrize(("known", "share"), [(50, 0.05), (200, 0.005), (200, 0.05), (200, 0.3)])
def test_the_bound_holds_for_few_known_requests_too_by_computing_the_chance(
    known: int, share: float
) -> None:
    assert chance_of_an_alarm(known, 400, share, false_alarms=0.01) <= 0.01


def test_the_computed_chance_is_that_of_drawn_windows() -> None:
    """Else a chance that is always small would prove nothing."""
    setting = Setting(known=200, watched=400, before=(0.05,), after=(0.05,), false_alarms=(0.2,))
    drawn = windows(setting, number=2_000, seed=5)
    share = sum(one is not None for one in drawn) / len(drawn)
    assert chance_of_an_alarm(200, 400, 0.05, false_alarms=0.2) == pytest.approx(share, abs=0.02)


def test_the_benchmark_draws_what_it_says() -> None:
    [row] = itertools.islice(measured(20), 1)
    assert row.name == "A/A windows rolled back, 20,000 known requests"
    assert row.verdict == "met"


def test_against_what_is_known_for_sure_the_stake_is_the_likelihood_ratio() -> None:
    old = Share(50_000_000 - 1, 1_000_000_000)
    p = (old.bad + 1) / (old.of + 1)
    for bad, of in ((0, 10), (4, 20), (20, 200)):
        anything = math.lgamma(bad + 1) + math.lgamma(of - bad + 1) - math.lgamma(of + 2)
        ratios = [ANYTHING * math.exp(anything) / (p**bad * (1 - p) ** (of - bad))]
        for times, part in ALTERNATIVES:
            q = times * p / (1 - p + times * p)
            ratios.append(part * (q / p) ** bad * ((1 - q) / (1 - p)) ** (of - bad))
        assert evidence(Share(bad, of), old) == pytest.approx(math.log(sum(ratios)), abs=1e-3)


def test_all_of_the_stake_is_placed() -> None:
    assert ANYTHING + sum(part for _, part in ALTERNATIVES) == pytest.approx(1)
    assert all(times > 1 for times, _ in ALTERNATIVES), "what got better is no bet"


@pytest.mark.parametrize("old", [Share(0, 100), Share(5, 100), Share(200, 1_000)])
@pytest.mark.parametrize("of", [10, 100, 1_000, 100_000])
def test_where_everything_fails_it_is_found_however_late_one_looks(old: Share, of: int) -> None:
    assert has_grown(Share(of, of), old, false_alarms=0.001)


@pytest.mark.parametrize("old", [Share(0, 200), Share(10, 200), Share(1_000, 20_000)])
@pytest.mark.parametrize("of", [20, 300])
def test_more_that_go_wrong_are_never_less_reason(old: Share, of: int) -> None:
    found = [has_grown(Share(bad, of), old, false_alarms=0.01) for bad in range(of + 1)]
    assert found == sorted(found)
    assert set(found) == {False, True}


shares = st.integers(1, 5_000).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))


@settings(deadline=None)
@given(new=shares, old=shares)
def test_a_share_that_is_not_larger_is_never_found(new: Share, old: Share) -> None:
    if new.value <= old.value:
        assert not has_grown(new, old, false_alarms=0.01)


@pytest.mark.parametrize(
    ("new", "old", "grown"),
    [
        (Share(5, 5), Share(0, 1_000), True),
        (Share(5, 5), Share(50, 1_000), True),
        (Share(LEAST_BAD - 1, LEAST_BAD - 1), Share(0, 20_000), False),
        (Share(0, 10_000), Share(0, 20_000), False),
        (Share(0, 0), Share(0, 20_000), False),
        (Share(300, 300), Share(300, 300), False),
        (Share(300, 300), Share(0, 0), False),
        (Share(51_000, 1_000_000), Share(50_000, 1_000_000), False),
        (Share(64_000, 1_000_000), Share(50_000, 1_000_000), True),
        (Share(10, 10_000), Share(1_000, 10_000), False),
        (Share(20, 100), Share(1, 4), False),
    ],
)
def test_what_is_found(new: Share, old: Share, grown: bool) -> None:
    assert has_grown(new, old, false_alarms=0.01) is grown


@pytest.mark.parametrize(("bad", "of"), [(-1, 3), (4, 3)])
def test_a_share_that_cannot_be_is_refused(bad: int, of: int) -> None:
    with pytest.raises(ValueError, match=f"{bad} of {of}"):
        Share(bad, of)


def test_a_share_is_told_as_people_read_it() -> None:
    assert str(Share(1_050, 20_000)) == "1,050 of 20,000 (5.2%)"
