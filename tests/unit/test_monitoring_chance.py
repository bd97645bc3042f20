"""Chance: what two samples of one distribution differ by is no drift, however few they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from registry.profile import NumberProfile, population_stability
from training.monitoring.chance import Expected, page, stability_by_chance
from training.monitoring.tally import shares
from training.monitoring.thresholds import RulesFile

LIMITS = RulesFile.read().of("any")


@pytest.mark.parametrize("bins", [2, 3, 4, 10, 30])
@pytest.mark.parametrize("chance", [1e-3, 1e-6])
def test_the_bound_is_that_of_chi_square_or_a_little_above(bins: int, chance: float) -> None:
    exact = chi2.ppf(1 - chance, bins - 1) * (1 / 200 + 1 / 5000)
    made = stability_by_chance(bins=bins, samples=200, reference=5000, chance=chance)
    assert 0.99 * exact < made < 1.25 * exact


def indices(samples: int, *, rounds: int) -> list[float]:
    """Indices between a reference of 1,000 and samples of the same distribution."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(rounds):
        profile = NumberProfile.of(rng.normal(size=1000))
        counts = profile.counts(rng.normal(size=samples))
        found.append(population_stability(profile.shares, shares(counts.tolist())))
    return found


@pytest.mark.parametrize("samples", [200, 500, 2000])
def test_no_unchanged_column_is_above_it_in_two_thousand_windows(samples: int) -> None:
    bound = stability_by_chance(
        bins=10, samples=samples, reference=1000, chance=LIMITS.drift_chance
    )
    assert max(indices(samples, rounds=2000)) < max(bound, LIMITS.drift_psi)


def test_the_threshold_alone_would_raise_unchanged_columns() -> None:
    """Of fewer values: what the bound is there for."""
    found = indices(100, rounds=1000)
    assert sum(index > LIMITS.drift_psi for index in found) > 10
    bound = stability_by_chance(bins=10, samples=100, reference=1000, chance=LIMITS.drift_chance)
    assert max(found) < bound


def test_errors_as_at_promotion_do_not_add_up() -> None:
    rng = np.random.default_rng(11)
    right = Expected.of_share(0.1, 500)
    size = Expected.of_size(1.0, 500)
    for _ in range(20):
        wrong = rng.uniform(size=5000) < 0.1
        assert page(wrong.astype(float), right, slack=LIMITS.error_slack) < LIMITS.error_alarm
        errors = rng.exponential(size=5000)
        assert page(errors, size, slack=LIMITS.error_slack) < LIMITS.error_alarm


def test_errors_twice_as_frequent_do_within_a_few_hundred() -> None:
    rng = np.random.default_rng(13)
    worse = (rng.uniform(size=1500) < 0.3).astype(float)
    expected = Expected.of_share(0.1, 500)
    assert page(worse, expected, slack=LIMITS.error_slack) > LIMITS.error_alarm


def test_a_bad_hour_is_forgiven_once_it_is_over() -> None:
    expected = Expected.of_share(0.1, 500)
    bad = [1.0] * 100
    assert page(bad, expected, slack=0.25) > 30
    assert page(bad + [0.0] * 2000, expected, slack=0.25) == 0
