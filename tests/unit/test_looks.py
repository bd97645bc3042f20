"""How a picture looks as a whole: the numbers that a camera's drift shows in."""

from __future__ import annotations

import numpy as np
import pytest

from registry.looks import NAMES, looks

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)


def test_colours_are_told_apart_and_contrast_is_of_all_values() -> None:
    found = looks(NOISE)
    assert [*found] == ["red", "green", "blue", "contrast"]
    for at, name in enumerate(("red", "green", "blue")):
        assert found[name] == pytest.approx(float(np.mean(NOISE[..., at])), abs=0.006)
    assert found["contrast"] == pytest.approx(float(np.std(NOISE.astype(float))), abs=0.006)
    assert {*found} <= {*NAMES}


def test_a_graph_that_takes_floats_or_channels_first_sees_the_same() -> None:
    """Serving has the layout and type of the graph, training bytes with channels last."""
    first = np.ascontiguousarray(NOISE.transpose(2, 0, 1)).astype(np.float32)
    assert looks(first.transpose(1, 2, 0)) == looks(NOISE)


def test_shades_of_gray_are_one_colour() -> None:
    assert looks(np.full((4, 4, 1), 7, np.uint8)) == {"gray": 7.0, "contrast": 0.0}


def test_a_large_bright_picture_is_no_brighter_than_white() -> None:
    white = np.full((1500, 1500, 3), 255, np.uint8)
    assert looks(white) == {"red": 255.0, "green": 255.0, "blue": 255.0, "contrast": 0.0}
