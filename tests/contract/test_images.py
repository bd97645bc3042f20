"""Pictures in every protocol, as files, as they are and in JSON; and what is wrong with them."""

from __future__ import annotations

import io
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from registry.bundle import Manifest
from registry.errors import BundleInvalid, TrialFailed
from registry.settings import Settings
from serving.app import create_app
from serving.kinds import Limits
from serving.servable import Servable
from tests.servingfakes import models
from tests.servingfakes.lane_client import Client, Through
from tests.servingfakes.pictures import (
    COLOURS,
    FORMATS,
    LABELS,
    RED,
    b64,
    image_folder,
    picture,
    png_of,
)
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder

LIMITS = Limits(max_rows=100, max_horizon=100)
LENGTH = "Inference-Header-Content-Length"
PNG = picture(RED)
MANY = [picture(colour, form=form) for colour, form in zip(COLOURS.values(), FORMATS, strict=True)]
NO_TEXT = b'--cut\r\nContent-Disposition: form-data; name="note"\r\n\r\n\xff\r\n--cut--'
PREDICT = "/models/colours/predict"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, through: Through) -> Client:
    home = tmp_path_factory.mktemp("images")
    golden = {
        "examples": [
            {"request": {"image": b64(PNG)}, "response": {"predictions": [{"label": "red"}]}}
        ],
        "rtol": 1e-5,
        "atol": 1e-5,
    }
    folders = {
        "colours": image_folder(home / "colours", golden=golden),
        "line": folder(home / "line", models.linear(3)),
        "logits": image_folder(home / "planar", models.colours(("n", 3, 8, 8), element=1)),
    }
    serve(home / "var", folders)
    given = {
        "BATON_HOME": str(home / "var"),
        "BATON_DEFAULT_MODEL": "colours",
        "BATON_MAX_ROWS": "3",
        "BATON_MAX_PIXELS": "1000",
        "BATON_MAX_BODY_BYTES": "100000",
    }
    return through(create_app(Settings.read(given)))


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


# V2


def infer(client: Client, tensor: dict[str, Any], behind: bytes = b"") -> TestResponse:
    text = json.dumps({"inputs": [tensor]}).encode()
    headers = {LENGTH: str(len(text))} if behind else {}
    return client.post("/v2/models/colours/infer", data=text + behind, headers=headers)


def binary(*data: bytes, name: str = "image", shape: Any = None) -> tuple[dict[str, Any], bytes]:
    """Pictures as Triton's client sends them: each behind its length."""
    behind = b"".join(struct.pack("<I", len(one)) + one for one in data)
    size = {"binary_data_size": len(behind)}
    shape = shape or [len(data)]
    return {"name": name, "datatype": "BYTES", "shape": shape, "parameters": size}, behind


@pytest.mark.parametrize(("name", "shape"), [("image", [3]), ("image", [3, 1]), ("pixels", [3, 1])])
def test_pictures_may_come_as_binary_tensors(client: Client, name: str, shape: Any) -> None:
    told: Any = infer(client, *binary(*MANY, name=name, shape=shape)).json
    found = {one["name"]: one for one in told["outputs"]}
    assert (found["label"]["datatype"], found["label"]["data"]) == ("BYTES", LABELS)
    assert found["confidence"]["shape"] == [3]
    assert (found["probabilities"]["datatype"], found["probabilities"]["shape"]) == ("FP64", [3, 3])


def test_in_a_json_tensor_they_are_base64(client: Client) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64(PNG)]}
    assert infer(client, tensor).json["outputs"][0]["data"] == ["red"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("tensor", "behind", "words"),
    [
        (*binary(b"\xff\xfe"), "image[0]: expected a PNG"),
        (*binary(PNG, name="pixels"), "inputs: expected a column 'image', got column 'pixels'"),
        (*binary(PNG, PNG, shape=[1, 2]), "image: expected shape [-1]"),
        (
            {"name": "image", "datatype": "UINT8", "shape": [1], "data": [7]},
            b"",
            "image[0]: expected a picture in base64",
        ),
    ],
)
def test_v2s_mistakes_are_told(client: Client, tensor: Any, behind: bytes, words: str) -> None:
    reply = infer(client, tensor, behind)
    assert reply.status_code == 422, reply.text
    assert words in reply.json["error"]  # type: ignore[index]


def test_bytes_that_are_no_text_are_still_refused_elsewhere(client: Client) -> None:
    tensor, behind = binary(b"\xff", name="x")
    text = json.dumps({"inputs": [tensor]}).encode()
    reply = client.post(
        "/v2/models/line/infer", data=text + behind, headers={LENGTH: str(len(text))}
    )
    assert (reply.status_code, reply.json["error"][:26]) == (422, "x: expected texts in UTF-8")  # type: ignore[index]


def test_v2s_metadata_tells_of_pictures(client: Client) -> None:
    told: Any = client.get("/v2/models/colours").json
    assert told["platform"] == "onnx_image"
    assert told["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert [(one["name"], one["shape"]) for one in told["outputs"]] == [
        ("label", [-1]),
        ("confidence", [-1]),
        ("probabilities", [-1, 3]),
    ]


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
    assert infer(client, *binary(body)).status_code in (200, 413, 422)


# Versions


def load(root: Path, limits: Limits = LIMITS) -> Servable:
    return Servable.load(root, Manifest.of(root), allowed=("onnx",), limits=limits)


def golden(label: str) -> dict[str, Any]:
    example = {"request": {"image": b64(PNG)}, "response": {"predictions": [{"label": label}]}}
    return {"examples": [example], "rtol": 1e-5, "atol": 1e-5}


def test_golden_examples_hold_a_version_to_its_answers(tmp_path: Path) -> None:
    good = load(image_folder(tmp_path / "good", golden=golden("red")))
    assert good.warm() == 0
    good.repeat(good.example())
    with pytest.raises(TrialFailed, match=r"predictions\[0\].label: expected 'blue', got 'red'"):
        load(image_folder(tmp_path / "bad", golden=golden("blue"))).warm()


def test_a_version_without_examples_is_tried_with_a_blank_picture(tmp_path: Path) -> None:
    servable = load(image_folder(tmp_path / "v"))
    assert servable.warm() == 0
    [told] = servable.predict(servable.example())["predictions"]
    assert told["confidence"] == pytest.approx(1 / 3)


def test_threads_get_the_answers_they_would_get_alone(tmp_path: Path) -> None:
    servable = load(image_folder(tmp_path / "v"))
    asked = [{"instances": MANY[n:] + MANY[:n]} for n in range(3)] * 40
    alone = [servable.predict(body) for body in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(servable.predict, asked)) == alone


def test_a_version_without_labels_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="labels: expected a list of distinct names"):
        load(image_folder(tmp_path / "v", schema={}))


def test_a_model_that_sees_more_than_a_request_may_bring_is_invalid(tmp_path: Path) -> None:
    limits = Limits(max_rows=1, max_horizon=1, max_pixels=63)
    with pytest.raises(BundleInvalid, match="8 x 8 pixels.*BATON_MAX_PIXELS"):
        load(image_folder(tmp_path / "v"), limits)
