"""Requests with pictures: the forms, what is refused and how it is named, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from registry.errors import (
    MalformedRequest,
    NoProbabilities,
    NotFinite,
    RequestTooLarge,
    SignatureMismatch,
    WrongShape,
)
from registry.signature import Tensor
from serving.kinds.image import Image
from tests.servingfakes.pictures import BLUE, GREEN, LABELS, RED, b64, picture, png_of

PNG = picture(RED)
TEXT = b64(PNG)
MANY = [picture(colour) for colour in (RED, GREEN, BLUE)]


class Colours:
    """How red, green and blue each picture is; remembers the shapes it was fed."""

    outputs = ("probabilities", "other")

    def __init__(
        self, shape: tuple[int, ...] = (-1, 4, 6, 3), dtype: str = "float32", answer: Any = None
    ) -> None:
        self.inputs: tuple[Tensor, ...] = (Tensor("pixels", dtype, shape),)
        self.fed: list[tuple[int, ...]] = []
        self._answer = answer

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        batch = inputs["pixels"]
        assert batch.dtype == np.dtype(self.inputs[0].dtype)
        self.fed.append(batch.shape)
        if self._answer is not None:
            return {"probabilities": np.array(self._answer, np.float32)}
        first = batch.shape[1] == 3
        means = batch.astype(np.float32).mean(axis=(2, 3) if first else (1, 2))
        return {"probabilities": means / 255, "other": batch}


def image(engine: Colours | None = None, **options: Any) -> Image:
    given = {"schema": {"labels": LABELS}, "max_rows": 20, "max_pixels": 10_000, **options}
    return Image(engine or Colours(), **given)


def labels(body: Mapping[str, Any], model: Image | None = None) -> list[str]:
    return [one["label"] for one in (model or image()).predict(body)["predictions"]]


ONE: Mapping[str, Mapping[str, Any]] = {
    "base64": {"image": TEXT},
    "b64": {"image": {"b64": TEXT}},
    "bytes, from outside of JSON": {"image": PNG},
    "instances of b64": {"instances": [{"b64": TEXT}]},
    "instances of image and b64": {"instances": [{"image": {"b64": TEXT}}]},
    "instances of image": {"instances": [{"image": TEXT}]},
    "instances of texts": {"instances": [TEXT]},
    "instances of rows": {"instances": [[TEXT]]},
    "instances of bytes": {"instances": [PNG]},
    "inputs by column": {"inputs": {"image": [TEXT]}},
    "inputs by column, alone": {"inputs": {"image": {"b64": TEXT}}},
    "inputs of texts": {"inputs": [TEXT]},
    "dataframe_records": {"dataframe_records": [{"image": TEXT}]},
    "dataframe_split": {"dataframe_split": {"columns": ["image"], "data": [[TEXT]]}},
    "empty params beside it": {"image": TEXT, "params": {}},
}


@pytest.mark.parametrize("body", ONE.values(), ids=ONE)
def test_every_form_is_the_same_picture(body: Mapping[str, Any]) -> None:
    assert image().predict(body) == {
        "predictions": [
            {
                "label": "red",
                "confidence": 1.0,
                "probabilities": {"red": 1.0, "green": 0.0, "blue": 0.0},
            }
        ]
    }


def test_several_are_answered_in_their_order() -> None:
    assert labels({"instances": MANY}) == LABELS
    assert labels({"instances": [{"b64": b64(MANY[0])}, b64(MANY[1]), MANY[2]]}) == LABELS


def test_only_so_many_are_held_decoded_at_a_time() -> None:
    engine = Colours()
    assert labels({"instances": MANY * 6}, image(engine)) == LABELS * 6
    assert engine.fed == [(8, 4, 6, 3), (8, 4, 6, 3), (2, 4, 6, 3)]


@pytest.mark.parametrize(
    ("shape", "fed"),
    [
        ((-1, 3, 4, 6), [(3, 3, 4, 6)]),
        ((1, 4, 6, 3), [(1, 4, 6, 3)] * 3),
        ((-1, -1, -1, 3), [(1, 10, 20, 3)] * 3),
        ((-1, 5, -1, 3), [(1, 5, 20, 3)] * 3),
    ],
    ids=["channels first", "one at a time", "any size", "any width"],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_graphs_of_every_layout_are_fed(shape: Any, fed: Any, dtype: str) -> None:
    engine = Colours(shape, dtype)
    assert labels({"instances": MANY}, image(engine)) == LABELS
    assert engine.fed == fed


REFUSED: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "a number": ({"image": 5}, "image", "integer 5"),
    "null": ({"image": None}, "image", "null"),
    "a list": ({"image": [TEXT]}, "image", "array"),
    "another object": ({"image": {"url": "http://x"}}, "image", "object"),
    "b64 that is a number": ({"image": {"b64": 5}}, "image.b64", "integer 5"),
    "no base64": ({"image": "héllo"}, "image", "string argument"),
    "base64 with a gap": ({"image": TEXT[:9] + "\n" + TEXT[9:]}, "image", "Only base64"),
    "a data URL": ({"image": f"data:image/png;base64,{TEXT}"}, "image", "a data URL"),
    "a text in base64": ({"image": b64(b"hello")}, "image", "5 bytes that are none"),
    "nothing": ({"image": ""}, "image", "nothing"),
    "half of it": ({"image": b64(PNG[: len(PNG) // 2])}, "image", "a PNG that breaks off"),
    "a bad one among good ones": ({"instances": [TEXT, {"b64": "!"}]}, "image[1].b64", ""),
    "a broken one among good ones": ({"instances": [TEXT, b64(b"x")]}, "image[1]", "1 bytes"),
    "none": ({"instances": []}, "instances", "none"),
    "another column": ({"instances": [{"picture": TEXT}]}, "instances", "column 'picture'"),
    "one more column": ({"inputs": {"image": [TEXT], "x": [1]}}, "inputs", "column 'x'"),
    "no column": ({"inputs": {}}, "inputs", "none"),
    "unlike records": ({"instances": [TEXT, {"x": 1}]}, "instances[1]", "object"),
    "a number for all": ({"instances": 5}, "instances", "integer 5"),
    "another key beside it": ({"image": TEXT, "note": "x"}, "note", "an unknown key"),
    "params": ({"image": TEXT, "params": {"k": 1}}, "params.k", "an unknown param"),
}


@pytest.mark.parametrize(("body", "field", "got"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(body: Any, field: str, got: str) -> None:
    with pytest.raises(SignatureMismatch) as caught:
        image().predict(body)
    assert caught.value.field == field
    assert got in caught.value.got
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("body", [{}, {"image": TEXT, "instances": [TEXT]}, {"horizon": 3}])
def test_anything_but_one_form_is_malformed(body: Mapping[str, Any]) -> None:
    with pytest.raises(MalformedRequest, match="exactly one of image, dataframe_split"):
        image().predict(body)


def test_columns_that_nobody_asked_for_may_be_left_out() -> None:
    body = {"dataframe_records": [{"id": 7, "image": TEXT}]}
    assert labels(body, image(ignore_unknown=True)) == ["red"]


# Limits


def test_only_so_many_pictures_a_request() -> None:
    assert len(labels({"instances": [TEXT] * 20})) == 20
    with pytest.raises(RequestTooLarge, match="21 pictures, at most 20"):
        image().predict({"instances": [TEXT] * 21})


def test_only_so_many_pixels_a_picture_and_none_of_them_is_decoded() -> None:
    engine = Colours()
    with pytest.raises(RequestTooLarge, match="image: 101 x 100 pixels"):
        image(engine).predict({"image": png_of(101, 100)})
    assert labels({"image": picture(size=(100, 100))}) == ["red"]


def test_the_pixels_of_all_pictures_count_together() -> None:
    engine, half = Colours(), picture(size=(50, 100))
    assert len(labels({"instances": [half] * 2})) == 2
    with pytest.raises(RequestTooLarge, match=r"image\[2\]: 50 x 100 pixels"):
        image(engine).predict({"instances": [half] * 3})
    assert engine.fed == []


def test_a_tiny_picture_counts_with_what_the_model_sees_of_it() -> None:
    large = Colours((-1, 50, 100, 3))
    assert len(labels({"instances": [picture(size=(1, 1))] * 2}, image(large))) == 2
    with pytest.raises(RequestTooLarge, match=r"image\[2\]: 1 x 1 pixels"):
        image(large).predict({"instances": [picture(size=(1, 1))] * 3})


# Answers


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_never_goes_out(bad: float) -> None:
    with pytest.raises(NotFinite):
        image(Colours(answer=[[bad, 0, 0]])).predict({"image": TEXT})


@pytest.mark.parametrize("answer", [[[2.0, -1, 0]], [[0.5, 1.1, 0]]])
def test_what_is_no_probability_never_goes_out(answer: Any) -> None:
    with pytest.raises(NoProbabilities, match="has to end with softmax or sigmoid"):
        image(Colours(answer=answer)).predict({"image": TEXT})


def test_a_float_beyond_one_is_one() -> None:
    answer = image(Colours(answer=[[1.0000001, -1e-7, 0]])).predict({"image": TEXT})
    assert answer["predictions"][0]["probabilities"] == {"red": 1, "green": 0, "blue": 0}


@pytest.mark.parametrize(
    "answer", [[0.1, 0.2, 0.7], [[0.5, 0.5]], [[0.1, 0.2, 0.7]] * 2, [[[0.1, 0.2, 0.7]]]]
)
def test_another_number_of_probabilities_never_goes_out(answer: Any) -> None:
    with pytest.raises(WrongShape, match=r"expected a probability each, float\[1, 3\]"):
        image(Colours(answer=answer)).predict({"image": TEXT})


def test_asking_twice_shows_a_graph_that_always_answers_one() -> None:
    model = image(Colours(answer=[[1, 0, 0]]))
    model.predict({"image": TEXT})
    with pytest.raises(WrongShape, match=r"float\[2, 3\], got float32\[1, 3\]"):
        model.repeat({"image": TEXT})
    image(Colours((1, 4, 6, 3), answer=[[1, 0, 0]])).repeat({"image": TEXT})


def test_an_answer_is_three_tensors() -> None:
    answer = image().predict({"instances": MANY[:2]})
    assert image().tensors(answer) == {
        "label": ["red", "green"],
        "confidence": [1.0, 1.0],
        "probabilities": [[1, 0, 0], [0, 1, 0]],
    }


@pytest.mark.parametrize("shape", [(-1, 4, 6, 3), (-1, -1, -1, 1), (1, 1, 8, 9)])
def test_its_synthetic_request_fits(shape: tuple[int, ...]) -> None:
    engine = Colours(shape, answer=[[0.2, 0.3, 0.5]])
    model = image(engine)
    assert labels(model.synthetic(), model) == ["blue"]


def test_what_it_takes_is_a_column_of_pictures() -> None:
    signature = image().signature
    assert [(c.name, c.type) for c in signature.columns] == [("image", "binary")]
    assert signature.outputs == ("label", "confidence", "probabilities")
