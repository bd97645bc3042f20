"""The description of the server: valid, whole, and true to what is taken and refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.servingfakes.front import front
from tests.servingfakes.lane_client import Client, Through
from tests.servingfakes.pictures import b64, picture

NAMES = ("colours", "flowers", "line", "petr4", "text")
PICTURE = picture()
TEXT = b64(PICTURE)
GOOD: dict[str, list[Any]] = {
    "colours": [
        {"image": TEXT},
        {"image": {"b64": TEXT}},
        {"instances": [{"b64": TEXT}, {"b64": TEXT}, {"b64": TEXT}]},
        {"instances": [{"image": TEXT}, {"image": {"b64": TEXT}}]},
        {"instances": [[TEXT]]},
        {"inputs": {"image": [TEXT]}},
        {"inputs": [TEXT]},
        {"dataframe_split": {"columns": ["image"], "data": [[TEXT]]}},
        {"dataframe_records": [{"image": TEXT}]},
    ],
    "flowers": [
        {"instances": [[1, 2, 3, 4]]},
        {"instances": [{"a": 1, "b": 2, "c": 3, "d": 4}]},
        {"inputs": {"a": [1], "b": [2], "c": [3], "d": [4.5]}},
        {"dataframe_split": {"columns": list("dcba"), "data": [[1, 2, 3, 4]]}},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": 4}] * 3},
    ],
    "line": [{"inputs": [[1]]}, {"instances": [[1], [2.5]]}, {"inputs": {"x": [[1]]}}],
    "petr4": [{"horizon": 3}, {"days": 1}, {"future": [{"ds": "2026-11-02"}]}],
    "text": [],
}
BAD: dict[str, list[Any]] = {
    "colours": [
        {},
        {"image": ""},
        {"image": 5},
        {"image": [TEXT]},
        {"image": {"b64": TEXT, "x": 1}},
        {"image": TEXT, "instances": [TEXT]},
        {"instances": []},
        {"instances": [TEXT] * 4},
        {"instances": [{"picture": TEXT}]},
        {"inputs": {"x": [TEXT]}},
        {"dataframe_records": [{"image": TEXT, "x": 1}]},
        {"dataframe_split": {"columns": ["x"], "data": [[TEXT]]}},
    ],
    "flowers": [
        {},
        [],
        {"instances": []},
        {"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3}]},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": "x"}]},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": None}]},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}]},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": 4}] * 4},
        {"dataframe_split": {"columns": list("abce"), "data": [[1, 2, 3, 4]]}},
        {"inputs": {"a": [1], "b": [2], "c": [3]}},
    ],
    "line": [{"inputs": [["x"]]}, {"inputs": [1]}, {"inputs": {"y": [[1]]}}, {"inputs": [[1, 2]]}],
    "petr4": [{"horizon": 0}, {"horizon": 1001}, {"horizon": 1.5}, {"days": "3"}, {"future": []}],
    "text": [{"inputs": 1}],
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return front(tmp_path_factory.mktemp("front"))


@pytest.fixture(scope="module")
def client(app: Flask, through: Through) -> Client:
    return through(app)


@pytest.fixture(scope="module")
def document(client: Client) -> Any:
    return client.get("/openapi.json").json


def schema(document: Any, model: str) -> Any:
    asked = document["paths"][f"/models/{model}/predict"]["post"]["requestBody"]
    return asked["content"]["application/json"]["schema"]


def test_it_is_a_valid_description(document: Any) -> None:
    validate(document)


def test_it_names_every_route(app: Flask, document: Any) -> None:
    named = {
        path.replace(name, "<name>").replace("{job}", "<job>")
        for path in document["paths"]
        for name in (*NAMES, "nobody")
    }
    undescribed = {"/openapi.json", "/docs", "/"}
    for rule in app.url_map.iter_rules():
        if "<version>" not in rule.rule and not rule.rule.startswith("/docs"):
            assert rule.rule in named | undescribed or rule.rule.endswith("/ready"), rule.rule


@pytest.mark.parametrize("model", NAMES)
def test_what_fits_the_description_is_answered(client: Client, document: Any, model: str) -> None:
    validator = Draft202012Validator(schema(document, model))
    shown = document["paths"][f"/models/{model}/predict"]["post"]["requestBody"]
    example = shown["content"]["application/json"]["example"]
    for body in [example, *GOOD[model]]:
        validator.validate(body)
        reply = client.post(f"/models/{model}/predict", json=body)
        assert reply.status_code == 200, (body, reply.json)


@pytest.mark.parametrize("model", NAMES)
def test_what_does_not_fit_it_is_refused(client: Client, document: Any, model: str) -> None:
    validator = Draft202012Validator(schema(document, model))
    for body in BAD[model]:
        assert not validator.is_valid(body), body
        status = client.post(f"/models/{model}/predict", json=body).status_code
        assert 400 <= status < 500, (body, status)


def test_pictures_may_come_as_every_content_type_that_is_described(
    client: Client, document: Any
) -> None:
    asked = document["paths"]["/models/colours/predict"]["post"]["requestBody"]["content"]
    raw = [name for name in asked if name.startswith("image/")]
    assert sorted(raw) == ["image/jpeg", "image/png", "image/webp"]
    assert set(asked) == {"application/json", "multipart/form-data", *raw}
    for content_type in raw:
        reply = client.post("/models/colours/predict", data=PICTURE, content_type=content_type)
        assert reply.status_code == 200
    form = asked["multipart/form-data"]["schema"]
    for name in [one["required"][0] for one in form["anyOf"]]:
        data = {name: (io.BytesIO(PICTURE), "a.png"), "model": "colours"}
        assert client.post("/models/colours/predict", data=data).status_code == 200
    for other in set(NAMES) - {"colours"}:
        asked = document["paths"][f"/models/{other}/predict"]["post"]["requestBody"]["content"]
        assert list(asked) == ["application/json"]


def test_an_answer_is_as_described(client: Client, document: Any) -> None:
    reply = client.post("/models/flowers/predict", json=GOOD["flowers"][0])
    Draft202012Validator(document["components"]["schemas"]["Answer"]).validate(reply.json)
    refused = client.post("/models/flowers/predict", json={})
    Draft202012Validator(document["components"]["schemas"]["Problem"]).validate(refused.json)
