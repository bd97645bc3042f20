"""MLflow's scoring protocol: its forms and its CSV, and every mistake a 400 that says where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servingfakes.front import LABELS, ROWS, front
from tests.servingfakes.lane_client import Client, Through


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, through: Through) -> Client:
    return through(front(tmp_path_factory.mktemp("front")))


@pytest.mark.parametrize(
    "asked",
    [
        {"dataframe_split": {"index": [0, 1], "columns": list("abcd"), "data": ROWS}},
        {"dataframe_split": {"columns": list("dcba"), "data": [row[::-1] for row in ROWS]}},
        {"dataframe_records": [dict(zip("abcd", row, strict=True)) for row in ROWS]},
        {
            "inputs": {
                name: list(cells)
                for name, cells in zip("abcd", zip(*ROWS, strict=True), strict=True)
            }
        },
        {"instances": ROWS},
        {"instances": [[1, 2, 3, 4], [5, 6, 7, 8]], "params": {}},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_mlflow_takes_its_forms(client: Client, asked: dict[str, Any]) -> None:
    reply = client.post("/invocations", json=asked)
    assert (reply.status_code, reply.json) == (200, {"predictions": LABELS})
    assert reply.headers["X-Model-Name"] == "flowers"


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c,d\n1,2,3,4\n5,6,7,8\n",
        "\ufeffa,b,c,d\r\n1.0,2.0,3.0,4\r\n5,6,7e0,8\r\n",
        'd,c,b,"a"\n4,3,2,1\n8,7,6,5',
    ],
)
def test_mlflow_takes_csv(client: Client, text: str) -> None:
    reply = client.post("/invocations", data=text.encode(), content_type="text/csv; charset=utf-8")
    assert (reply.status_code, reply.json) == (200, {"predictions": LABELS})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c,d,e\n1,2,3,4,5\n", "e: expected one of a, b, c, d, got an unknown column"),
        (",a,b,c,d\n0,1,2,3,4\n", "got an unknown column"),
        ("a,b,c\n1,2,3\n", "d: expected a column of double, got nothing"),
        ("a,b,c,d\n1,2,3\n", "row 1 has 3 values, its header 4 names"),
        ("a,b,c,d\n1,2,3,four\n", 'd[0]: expected double, got string "four"'),
        ("a,b,c,d\n1,2,3,\n", "d[0]: expected double, got null"),
        ("a,b,c,d\n1,2,3,inf\n", "d[0]: expected double"),
        ("a,b,c,d\n1,2,3,1e999\n", "beyond its range"),
        ("a,a,c,d\n1,2,3,4\n", "expected distinct names"),
        ("a,b,c,d\n", "at least one row"),
        ("", "got nothing"),
        ('a,b,c,d\n1,2,3,"4\n', "not CSV"),
        ("a,b,c,d\n" + "1,2,3,4\n" * 4, "4 rows, at most 3"),
    ],
)
def test_a_csv_that_does_not_fit_is_a_400_that_says_where(
    client: Client, text: str, words: str
) -> None:
    reply = client.post("/invocations", data=text.encode(), content_type="text/csv")
    assert (reply.status_code, reply.json["error_code"]) == (400, "BAD_REQUEST")  # type: ignore[index]
    assert words in reply.json["message"]  # type: ignore[index]


def test_bytes_that_are_no_text_are_a_400(client: Client) -> None:
    reply = client.post("/invocations", data=b"a,b\n\xff,1\n", content_type="text/csv")
    assert reply.status_code == 400


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": "x"}]}, "d[0]: expected double"),
        ({"instances": ROWS, "inputs": ROWS}, "expected exactly one of"),
        ({"data": ROWS}, "expected exactly one of"),
        ({"instances": ROWS * 2}, "4 rows, at most 3"),
        ({"instances": ROWS, "params": {"k": 1}}, "params.k: expected none for this model"),
    ],
)
def test_every_mistake_of_mlflows_client_is_a_400(
    client: Client, asked: dict[str, Any], words: str
) -> None:
    reply = client.post("/invocations", json=asked)
    assert (reply.status_code, reply.json["error_code"]) == (400, "BAD_REQUEST")  # type: ignore[index]
    assert words in reply.json["message"]  # type: ignore[index]


@pytest.mark.parametrize("content_type", ["text/plain", "application/vnd.apache.parquet", ""])
def test_a_content_type_that_nobody_reads_is_a_415_in_plain_text(
    client: Client, content_type: str
) -> None:
    reply = client.post("/invocations", data=b"x", content_type=content_type)
    assert (reply.status_code, reply.mimetype) == (415, "text/plain")


def test_mlflows_other_routes(client: Client) -> None:
    assert [client.get(path).status_code for path in ("/ping", "/health", "/version")] == [200] * 3
    assert client.get("/version").text.count(".") == 2
