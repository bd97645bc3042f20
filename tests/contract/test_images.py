"""Pictures in every protocol, as files, as they are and in JSON; and what is wrong with them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from serving.kinds import Limits
from tests.servingfakes.lane_client import Client, Through
from tests.servingfakes.picture_front import picture_front
from tests.servingfakes.pictures import (
    COLOURS,
    FORMATS,
    LABELS,
    RED,
    b64,
    picture,
    png_of,
)

LIMITS = Limits(max_rows=100, max_horizon=100)
LENGTH = "Inference-Header-Content-Length"
PNG = picture(RED)
MANY = [picture(colour, form=form) for colour, form in zip(COLOURS.values(), FORMATS, strict=True)]
NO_TEXT = b'--cut\r\nContent-Disposition: form-data; name="note"\r\n\r\n\xff\r\n--cut--'
PREDICT = "/models/colours/predict"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, through: Through) -> Client:
    return through(picture_front(tmp_path_factory.mktemp("images")))


def labels(reply: TestResponse) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [one["label"] for one in reply.json["predictions"]]  # type: ignore[index]


def files(*data: bytes, name: str = "image", **fields: Any) -> dict[str, Any]:
    """A form with these files, as a test client takes it."""
    sent = [(io.BytesIO(one), f"{n}.png") for n, one in enumerate(data)]
    return {"data": {name: sent, **fields}, "content_type": "multipart/form-data"}


# Baton's own protocol


def test_an_answer_has_a_label_its_confidence_and_all_probabilities(client: Client) -> None:
    reply = client.post(PREDICT, data=PNG, content_type="image/png")
    [told] = reply.json["predictions"]  # type: ignore[index]
    assert told["label"] == "red"
    assert list(told["probabilities"]) == LABELS
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert told["confidence"] == max(told["probabilities"].values()) > 0.99
    assert (reply.headers["X-Model-Name"], reply.json["model"]) == ("colours", "colours")  # type: ignore[index]


@pytest.mark.parametrize(
    "content_type", ["image/png", "image/jpeg", "image/webp", "IMAGE/PNG; q=1"]
)
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("path", ["/predict", PREDICT])
def test_a_picture_may_be_the_body_and_its_content_tells_the_format(
    client: Client, path: str, number: int, content_type: str
) -> None:
    reply = client.post(path, data=MANY[number], content_type=content_type)
    assert labels(reply) == [LABELS[number]]


@pytest.mark.parametrize("name", ["image", "file"])
@pytest.mark.parametrize("path", ["/predict", PREDICT])
def test_pictures_may_be_the_files_of_a_form(client: Client, path: str, name: str) -> None:
    assert labels(client.post(path, **files(PNG, name=name))) == ["red"]
    assert labels(client.post(path, **files(*MANY, name=name))) == LABELS


def test_a_form_may_name_its_model(client: Client) -> None:
    assert labels(client.post("/predict", **files(PNG, model="colours"))) == ["red"]
    other = client.post("/predict", **files(PNG, model="line"))
    assert other.status_code == 415
    assert client.post(PREDICT, **files(PNG, model="line")).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"image": b64(PNG)},
        {"image": {"b64": b64(PNG)}},
        {"model": "colours", "image": b64(PNG)},
        {"instances": [{"image": {"b64": b64(PNG)}}]},
        {"instances": [{"b64": b64(PNG)}]},
    ],
)
def test_pictures_may_be_base64_in_json(client: Client, body: Any) -> None:
    assert labels(client.post("/predict", json=body)) == ["red"]


def test_a_graph_with_its_channels_first_answers_the_same(client: Client) -> None:
    assert labels(client.post("/models/logits/predict", **files(*MANY))) == LABELS


def cases() -> dict[str, tuple[dict[str, Any], int, str]]:
    """Requests with what is wrong with them: status, and words of the problem."""
    raw = {"content_type": "image/png"}
    cut = {"content_type": "multipart/form-data; boundary=cut"}
    return {
        "no picture": ({"data": b"hello", **raw}, 422, "expected a PNG, JPEG or WebP picture"),
        "an empty body": ({"data": b"", **raw}, 422, "image: expected a PNG"),
        "half a picture": ({"data": PNG[:-30], **raw}, 422, "a whole picture"),
        "a GIF": ({"data": b"GIF89a", **raw}, 422, "a GIF"),
        "another content type": ({"data": PNG, "content_type": "image/gif"}, 415, "image/webp too"),
        "no content type": ({"data": PNG}, 415, "got none"),
        "too many pixels": ({"data": png_of(1000, 1000), **raw}, 413, "1000 x 1000 pixels"),
        "a side too long": ({"data": png_of(2**20, 1), **raw}, 413, "at most 65535 a side"),
        "too many pixels together": (
            files(*[picture(size=(20, 20))] * 3),
            413,
            "image[2]: 20 x 20",
        ),
        "too many pictures": (files(*[picture(size=(2, 2))] * 4), 413, "4 pictures, at most 3"),
        "too many bytes": ({"data": PNG + bytes(100_000), **raw}, 413, "100000"),
        "a broken one in a form": (files(PNG, b"x"), 422, "image[1]: expected a PNG"),
        "a form without a picture": (files(model="colours"), 400, "exactly one of image"),
        "a file in another field": (
            files(PNG, name="photo"),
            400,
            "photo: a file; pictures go into",
        ),
        "a text that nobody asked for": (files(PNG, note="x"), 422, "note: expected only image"),
        "a text twice": (
            files(PNG, model=["colours", "colours"]),
            400,
            "model: this field comes twice",
        ),
        "a text that is none": ({"data": NO_TEXT, **cut}, 400, "note: not UTF-8"),
        "a form that breaks off": (
            {"data": b"--cut\r\n", **cut},
            400,
            "body: no multipart/form-data",
        ),
        "a form without a boundary": (
            {"data": NO_TEXT, "content_type": "multipart/form-data"},
            400,
            "with a boundary of 1 to 200",
        ),
        "no base64": ({"json": {"image": "!"}}, 422, "image: expected a picture in base64"),
        "a horizon": ({"json": {"horizon": 3}}, 400, "exactly one of image"),
    }


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("path", ["/predict", PREDICT])
def test_a_mistake_is_told(client: Client, path: str, name: str) -> None:
    asked, status, words = cases()[name]
    reply = client.post(path, **asked)
    assert reply.status_code == status, reply.text
    assert reply.mimetype == "application/problem+json"
    assert words in reply.json["detail"], reply.json  # type: ignore[index]


def test_a_mismatch_names_field_expected_and_got(client: Client) -> None:
    told: Any = client.post(PREDICT, data=b"GIF89a", content_type="image/png").json
    assert (told["field"], told["expected"], told["got"]) == (
        "image",
        "a PNG, JPEG or WebP picture",
        "a GIF",
    )


def test_a_model_of_numbers_takes_no_pictures(client: Client) -> None:
    for asked in (files(PNG), {"data": PNG, "content_type": "image/png"}):
        reply = client.post("/models/line/predict", **asked)
        assert reply.status_code == 415
        assert "expected application/json, got" in reply.json["detail"]  # type: ignore[index]


# MLflow's protocol


@pytest.mark.parametrize(
    "asked",
    [
        {"json": {"dataframe_split": {"columns": ["image"], "data": [[b64(PNG)]]}}},
        {"json": {"dataframe_records": [{"image": b64(PNG)}]}},
        {"json": {"inputs": {"image": [b64(PNG)]}}},
        {"json": {"instances": [{"b64": b64(PNG)}]}},
        {"data": f"image\n{b64(PNG)}\n", "content_type": "text/csv"},
    ],
)
def test_mlflows_forms_have_a_column_of_pictures(client: Client, asked: dict[str, Any]) -> None:
    assert labels(client.post("/invocations", **asked)) == ["red"]


def test_on_mlflows_route_a_mistake_is_its_400(client: Client) -> None:
    reply = client.post("/invocations", json={"instances": ["x!"]})
    assert (reply.status_code, reply.json["error_code"]) == (400, "BAD_REQUEST")  # type: ignore[index]


# Whatever comes


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_whatever_comes_is_never_the_servers_fault(client: Client, data: st.DataObject) -> None:
    noise = data.draw(st.binary(max_size=200))
    good = data.draw(st.sampled_from(MANY))
    at = data.draw(st.integers(0, len(good)))
    body = data.draw(st.sampled_from([noise, good[:at] + noise, good[:at] + noise + good[at:]]))
    for asked in (
        {"data": body, "content_type": "image/webp"},
        {"data": body, "content_type": "multipart/form-data; boundary=cut"},
        files(body),
        {"json": {"image": b64(body)}},
        {"json": {"instances": [noise.decode("latin-1")]}},
    ):
        reply = client.post(PREDICT, **asked)
        assert reply.status_code in (200, 400, 413, 422), reply.text
