"""Which graphs and labels make a model of pictures, and which do not."""

from __future__ import annotations

from typing import Any

import pytest

from registry.errors import BundleInvalid
from tests.servingfakes.pictures import LABELS
from tests.unit.test_image_kind import TEXT, Colours, image


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"labels": []},
        {"labels": "red"},
        {"labels": ["a", "a"]},
        {"labels": [1]},
        {"labels": [""]},
    ],
)
def test_a_version_without_names_for_its_classes_is_invalid(schema: Any) -> None:
    with pytest.raises(BundleInvalid, match="labels: expected a list of distinct names"):
        image(schema=schema)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((-1, 4), "float32"),
        ((-1, 4, 6, 3, 1), "float32"),
        ((2, 4, 6, 3), "float32"),
        ((-1, 4, 6, 3), "float64"),
        ((-1, 4, 6, 3), "object"),
    ],
)
def test_a_graph_that_takes_no_pictures_is_invalid(shape: Any, dtype: str) -> None:
    with pytest.raises(BundleInvalid, match=r"the graph's inputs: expected one of \[-1, height"):
        image(Colours(shape, dtype))


def test_a_graph_with_two_inputs_is_invalid() -> None:
    engine = Colours()
    engine.inputs = engine.inputs * 2
    with pytest.raises(BundleInvalid, match="the graph's inputs"):
        image(engine)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((-1, 3, 8, 3), None),
        ((-1, 4, 6, 4), None),
        ((-1, -1, -1, -1), None),
        ((-1, 4, 6, 3), "NCHW"),
        ((-1, 3, 4, 6), "NHWC"),
        ((-1, 4, 6, 3), "HWC"),
        ((-1, 4, 6, 3), ["NHWC"]),
    ],
)
def test_a_layout_that_nobody_can_tell_is_invalid(shape: Any, layout: Any) -> None:
    with pytest.raises(BundleInvalid, match="which dimension are its 1 or 3 channels"):
        image(Colours(shape), schema={"labels": LABELS, "layout": layout})


def test_a_layout_that_is_said_is_taken() -> None:
    engine = Colours((-1, 3, 8, 3), answer=[[1, 0, 0]])
    image(engine, schema={"labels": LABELS, "layout": "NHWC"}).predict({"image": TEXT})
    assert engine.fed == [(1, 3, 8, 3)]
