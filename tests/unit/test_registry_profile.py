"""The reference profile: bins, round trip, and the stability index."""

from __future__ import annotations

import json

import numpy as np
import pytest

from registry.profile import LabelProfile, NumberProfile, ReferenceProfile, population_stability


def test_bins_hold_equal_shares_of_what_they_were_made_from():
    profile = NumberProfile.of(np.arange(1000.0))
    assert len(profile.shares) == 10
    assert profile.shares == pytest.approx([0.1] * 10, abs=0.002)


def test_ties_make_fewer_bins_and_no_value_is_lost():
    values = np.array([1.0] * 90 + [2.0] * 10)
    profile = NumberProfile.of(values)
    assert sum(profile.shares) == pytest.approx(1)
    assert profile.counts(values).sum() == 100


def test_values_outside_the_edges_fall_into_the_outer_bins():
    profile = NumberProfile.of(np.arange(100.0))
    assert profile.counts(np.array([-1e9, 1e9])).tolist() == [1, *[0] * 8, 1]


def test_labels_are_counted_by_name():
    assert LabelProfile.of([0, 0, 1, 2]).shares == {"0": 0.5, "1": 0.25, "2": 0.25}


def test_a_profile_survives_json():
    profile = ReferenceProfile(
        4, {"x": NumberProfile.of(np.arange(4.0))}, {"y": LabelProfile.of("aab")}
    )
    assert ReferenceProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


@pytest.mark.parametrize(
    "predicted", [NumberProfile.of(np.arange(9.0)), LabelProfile.of("ab"), None]
)
def test_so_does_the_profile_of_answers(predicted: NumberProfile | LabelProfile | None):
    profile = ReferenceProfile(4, {}, {}, predicted, 9 if predicted else 0)
    assert ReferenceProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_the_same_shares_are_stable_and_a_shift_is_not():
    assert population_stability([0.5, 0.5], [0.5, 0.5]) == 0
    # (0.2 − 0.5) ln(0.2 / 0.5) + (0.8 − 0.5) ln(0.8 / 0.5)
    assert population_stability([0.5, 0.5], [0.2, 0.8]) == pytest.approx(0.41589, abs=1e-5)


def test_an_empty_bin_counts_as_little_not_as_infinite():
    assert 0.25 < population_stability([0.5, 0.5], [0.0, 1.0]) < 10


def test_unlike_bins_are_not_compared():
    with pytest.raises(ValueError, match="2 reference bins against 3"):
        population_stability([0.5, 0.5], [0.2, 0.3, 0.5])
