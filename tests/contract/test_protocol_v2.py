"""The Open Inference Protocol: tensors in JSON and in binary, and what is wrong with them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from werkzeug.test import TestResponse

from tests.servingfakes.front import LABELS, ROWS, SCORES, front
from tests.servingfakes.lane_client import Client, Through

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, through: Through) -> Client:
    return through(front(tmp_path_factory.mktemp("front")))


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def infer(client: Client, model: str, *inputs: Mapping[str, Any], **more: Any) -> TestResponse:
    return client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **more})


def outputs(reply: TestResponse) -> dict[str, tuple[str, list[int], Any]]:
    assert reply.status_code == 200, reply.text
    return {
        one["name"]: (one["datatype"], one["shape"], one.get("data"))
        for one in reply.json["outputs"]  # type: ignore[index]
    }


def test_columns_are_tensors(client: Client) -> None:
    columns = zip("abcd", zip(*ROWS, strict=True), strict=True)
    reply = infer(client, "flowers", *(tensor(n, "FP64", [2, 1], list(v)) for n, v in columns))
    assert outputs(reply) == {
        "label": ("INT64", [2], LABELS),
        "scores": ("FP32", [2, 4], [cell for row in SCORES for cell in row]),
    }
    assert (reply.json["model_name"], reply.json["model_version"]) == ("flowers", "1")  # type: ignore[index]


@pytest.mark.parametrize("data", [ROWS, [cell for row in ROWS for cell in row]], ids=["2d", "flat"])
def test_all_columns_may_come_side_by_side(client: Client, data: Any) -> None:
    reply = infer(client, "flowers", tensor("x", "FP32", [2, 4], data), id="mine")
    assert outputs(reply)["label"] == ("INT64", [2], LABELS)
    assert reply.json["id"] == "mine"  # type: ignore[index]


def test_only_what_is_asked_for_comes_back(client: Client) -> None:
    reply = infer(
        client, "flowers", tensor("x", "FP32", [2, 4], ROWS), outputs=[{"name": "scores"}]
    )
    assert list(outputs(reply)) == ["scores"]
    reply = infer(client, "flowers", tensor("x", "FP32", [2, 4], ROWS), outputs=[{"name": "p"}])
    assert (reply.status_code, reply.json) == (
        422,
        {"error": 'outputs: expected of label, scores, got string "p"'},
    )


def test_tensors_may_come_and_go_in_binary(client: Client) -> None:
    array = np.array([[2.0], [3.0]], dtype="<f4")
    asked = {
        "inputs": [
            {
                "name": "x",
                "datatype": "FP32",
                "shape": [2, 1],
                "parameters": {"binary_data_size": array.nbytes},
            }
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(asked).encode()
    reply = client.post(
        "/v2/models/line/infer", data=text + array.tobytes(), headers={LENGTH: str(len(text))}
    )
    assert (reply.status_code, reply.mimetype) == (200, "application/octet-stream")
    length = int(reply.headers[LENGTH])
    told = json.loads(reply.data[:length])["outputs"]
    assert told == [
        {
            "name": "y",
            "datatype": "FP32",
            "shape": [2, 1],
            "parameters": {"binary_data_size": 8},
        }
    ]
    assert struct.unpack("<2f", reply.data[length:]) == (6.0, 9.0)


def test_texts_may_come_in_binary(client: Client) -> None:
    texts = b"".join(struct.pack("<I", len(t)) + t for t in ("héllo".encode(), b""))
    entry = {"datatype": "BYTES", "shape": [2, 1], "parameters": {"binary_data_size": len(texts)}}
    told = client.get("/v2/models/text").json["inputs"]  # type: ignore[index]
    assert {(one["datatype"], *one["shape"]) for one in told} == {("BYTES", -1, 1)}
    text = json.dumps({"inputs": [{**entry, "name": one["name"]} for one in told]}).encode()
    reply = client.post(
        "/v2/models/text/infer", data=text + texts * len(told), headers={LENGTH: str(len(text))}
    )
    assert reply.status_code == 200, reply.text


def test_a_forecast_is_tensors_too(client: Client) -> None:
    by_days = outputs(infer(client, "petr4", tensor("horizon", "INT64", [1], [2])))
    assert list(by_days) == ["ds", "yhat", "yhat_lower", "yhat_upper"]
    assert by_days["ds"][:2] == ("BYTES", [2])
    dates = by_days["ds"][2]
    by_dates = outputs(infer(client, "petr4", tensor("ds", "BYTES", [2], dates)))
    assert by_dates == by_days


def test_metadata_tells_what_goes_in_and_comes_out(client: Client) -> None:
    told = client.get("/v2/models/flowers").json
    assert told == {
        "name": "flowers",
        "versions": ["1"],
        "platform": "onnx_tabular",
        "inputs": [{"name": n, "datatype": "FP64", "shape": [-1]} for n in "abcd"],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 4]},
        ],
    }
    assert client.get("/v2/models/line/versions/1").json["inputs"] == [  # type: ignore[index]
        {"name": "x", "datatype": "FP32", "shape": [-1, 1]}
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 200),
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/models/line/ready", 200),
        ("/models/line/versions/1/ready", 200),
        ("/models/line/versions/2/ready", 404),
        ("/models/nothing/ready", 404),
        ("/models/nothing", 404),
        ("/models/line/versions/2", 404),
    ],
)
def test_v2s_other_routes(client: Client, path: str, status: int) -> None:
    reply = client.get(f"/v2{path}")
    assert reply.status_code == status
    assert status == 200 or list(reply.json) == ["error"]  # type: ignore[arg-type]


def test_a_version_in_the_path_must_be_the_one_that_serves(client: Client) -> None:
    asked = {"inputs": [tensor("x", "FP32", [1, 1], [2])]}
    assert client.post("/v2/models/line/versions/1/infer", json=asked).status_code == 200
    reply = client.post("/v2/models/line/versions/2/infer", json=asked)
    assert (reply.status_code, reply.json) == (
        404,
        {"error": "line: version 2 is not served here, 1 is"},
    )


GOOD = tensor("x", "FP32", [1, 1], [2.0])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "inputs: expected a list of tensors, got null"),
        ({"inputs": []}, "inputs: expected a list of tensors"),
        ({"inputs": [1]}, "inputs[0]: expected an object"),
        ({"inputs": [{**GOOD, "name": 1}]}, "inputs[0].name: expected a text"),
        ({"inputs": [GOOD, GOOD]}, "'x' comes twice"),
        ({"inputs": [{**GOOD, "datatype": "FP128"}]}, "x.datatype: expected one of BOOL"),
        ({"inputs": [{**GOOD, "datatype": None}]}, "x.datatype: expected a text"),
        ({"inputs": [{**GOOD, "shape": [2, 1]}]}, "expected 2 values as shape says, got 1 values"),
        ({"inputs": [{**GOOD, "shape": [-1, 1]}]}, "x.shape: expected whole numbers"),
        ({"inputs": [{**GOOD, "shape": [10**9, 10**9]}]}, "x.shape: expected fewer elements"),
        ({"inputs": [{**GOOD, "shape": "1"}]}, "x.shape: expected whole numbers"),
        ({"inputs": [{**GOOD, "data": ["2"]}]}, 'x.data: expected FP32, got string "2"'),
        ({"inputs": [{**GOOD, "data": [None]}]}, "x.data: expected FP32, got null"),
        ({"inputs": [{**GOOD, "data": [1e300]}]}, "NaN or Infinity"),
        ({"inputs": [{**GOOD, "data": 2.0}]}, "x.data: expected a list"),
        ({"inputs": [{**GOOD, "datatype": "INT8", "data": [300]}]}, "x.data: expected INT8"),
        ({"inputs": [{**GOOD, "datatype": "INT8", "data": [1.5]}]}, "x.data: expected INT8"),
        ({"inputs": [{**GOOD, "name": "z"}]}, "z: expected x, got an unknown tensor"),
        ({"inputs": [{**GOOD, "shape": [1]}]}, "expected float32[-1, 1], got shape [1]"),
        ({"inputs": [GOOD], "outputs": 1}, "outputs: expected a list"),
        ({"inputs": [GOOD], "outputs": [{}]}, "outputs[0].name: expected a text"),
        ({"inputs": [GOOD], "id": 5}, "id: expected a text"),
        ({"inputs": [GOOD], "parameters": []}, "parameters: expected an object"),
        (
            {"inputs": [{**GOOD, "parameters": {"binary_data_size": 4}}]},
            "expected at most the 0 bytes that are left",
        ),
        (
            {"inputs": [GOOD], "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
            "classification is an extension that is not here",
        ),
    ],
)
def test_a_question_that_is_wrong_is_refused_by_name(
    client: Client, asked: dict[str, Any], words: str
) -> None:
    reply = client.post("/v2/models/line/infer", json=asked)
    assert reply.status_code in (400, 422)
    assert words in reply.json["error"]  # type: ignore[index]


@pytest.mark.parametrize("length", ["-1", "1e3", "99999", "x", "²"])
def test_a_wrong_length_of_the_json_is_refused(client: Client, length: str) -> None:
    text = json.dumps({"inputs": [GOOD]}).encode()
    headers = {LENGTH: length.encode().decode("latin-1")}
    reply = client.post("/v2/models/line/infer", data=text, headers=headers)
    assert reply.status_code == 400
    assert LENGTH in reply.json["error"]  # type: ignore[index]


@pytest.mark.parametrize(("extra", "size"), [(b"\0", 4), (b"", 3), (b"", 5)])
def test_binary_data_must_be_as_long_as_it_says(client: Client, extra: bytes, size: int) -> None:
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 1]}
    text = json.dumps({"inputs": [{**entry, "parameters": {"binary_data_size": size}}]}).encode()
    reply = client.post(
        "/v2/models/line/infer",
        data=text + struct.pack("<f", 2.0) + extra,
        headers={LENGTH: str(len(text))},
    )
    assert reply.status_code in (400, 422), reply.text


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", struct.pack("<f", float("nan"))),
        ("BOOL", b"\x02"),
        ("BYTES", b"\x05\0\0\0ab"),
        ("BYTES", b"\x01\0\0\0\xff"),
        ("BYTES", b"\x01\0\0"),
        ("BYTES", b"\0\0\0\0" * 2),
    ],
)
def test_binary_values_are_checked_too(client: Client, datatype: str, data: bytes) -> None:
    entry = {"name": "x", "datatype": datatype, "shape": [1]}
    asked = {"inputs": [{**entry, "parameters": {"binary_data_size": len(data)}}]}
    text = json.dumps(asked).encode()
    reply = client.post("/v2/models/line/infer", data=text + data, headers={LENGTH: str(len(text))})
    assert reply.status_code == 422
    assert reply.json["error"].startswith("x: expected")  # type: ignore[index]


def test_all_protocols_answer_the_same(client: Client) -> None:
    own = client.post("/models/flowers/predict", json={"instances": ROWS}).json
    assert own is not None
    assert (own["predictions"], own["outputs"]) == (LABELS, {"scores": SCORES})
    theirs = client.post("/invocations", json={"instances": ROWS}).json
    assert theirs == {"predictions": own["predictions"]}
    v2 = outputs(infer(client, "flowers", tensor("x", "FP32", [2, 4], ROWS)))
    assert (v2["label"][2], np.reshape(v2["scores"][2], (2, 4)).tolist()) == (LABELS, SCORES)


def test_a_body_that_names_another_model_than_the_path_is_refused(client: Client) -> None:
    asked = {"instances": [[1]], "model": "line"}
    assert client.post("/models/line/predict", json=asked).status_code == 200
    reply = client.post("/models/petr4/predict", json=asked)
    assert (reply.status_code, reply.json["detail"]) == (  # type: ignore[index]
        400,
        "model: expected 'petr4' as in the path, got 'line'",
    )
