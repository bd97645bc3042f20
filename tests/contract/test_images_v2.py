"""Pictures as the Open Inference Protocol's BYTES: binary ones are files, JSON's are base64."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.servingfakes.lane_client import Client, Through
from tests.servingfakes.picture_front import picture_front
from tests.servingfakes.pictures import COLOURS, FORMATS, LABELS, RED, b64, picture

LENGTH = "Inference-Header-Content-Length"
PNG = picture(RED)
MANY = [picture(colour, form=form) for colour, form in zip(COLOURS.values(), FORMATS, strict=True)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, through: Through) -> Client:
    return through(picture_front(tmp_path_factory.mktemp("images")))


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


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200), st.integers(0, 80), st.sampled_from(MANY))
def test_whatever_comes_is_never_the_servers_fault(
    client: Client, noise: bytes, at: int, good: bytes
) -> None:
    for body in (noise, good[:at] + noise, good[:at] + noise + good[at:]):
        assert infer(client, *binary(body)).status_code in (200, 413, 422)
