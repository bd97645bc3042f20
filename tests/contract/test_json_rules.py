"""What JSON is, by its rules: every text below is taken or refused, by each protocol, never a 5xx.

The cases are our own; their categories are those of the public JSON parsing suites.
"""

from __future__ import annotations

import pytest

from registry.settings import Settings
from serving.app import create_app
from tests.servingfakes import models
from tests.servingfakes.lane_client import Client, Through
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder

# A value in the place of the one number; `True` if it is a number that the model takes.
NUMBERS = {
    b"2": True,
    b"-2": True,
    b"2.5": True,
    b"2e1": True,
    b"2E+1": True,
    b"2e-1": True,
    b"-0": True,
    b"0.1e1": True,
    b"1e400": False,
    b"1e39": False,
    b"123456789012345678901234567890": None,
    b"-": False,
    b"+2": False,
    b"02": False,
    b".5": False,
    b"2.": False,
    b"2.e1": False,
    b"2e": False,
    b"2e+": False,
    b"0x2": False,
    b"1_000": False,
    b"2 3": False,
    b"NaN": False,
    b"-NaN": False,
    b"Infinity": False,
    b"-Infinity": False,
    b"inf": False,
    "２".encode(): False,
    b"true": False,
    b"True": False,
    b"nul": False,
    b"null": False,
    b'"2"': False,
    b"{}": False,
    b"[]": False,
}
# A whole body; `True` if it is an object in JSON, whatever the model says of it.
BODIES = {
    "nothing": (b"", False),
    "blanks": (b" \n\t\r", False),
    "a list": (b"[]", False),
    "a number": (b"2", False),
    "a text": (b'"x"', False),
    "null": (b"null", False),
    "cut off": (b'{"instances": [[2', False),
    "cut off in a text": (b'{"instances', False),
    "cut off in an escape": (b'{"a\\u00', False),
    "cut off in a letter": (b'{"\xe2\x82', False),
    "two values": (b"{} {}", False),
    "a comma too many": (b'{"a": 1,}', False),
    "a comma too many in a list": (b'{"a": [1,]}', False),
    "no comma": (b'{"a": 1 "b": 2}', False),
    "no colon": (b'{"a" 1}', False),
    "no quotes": (b"{a: 1}", False),
    "single quotes": (b"{'a': 1}", False),
    "a comment": (b'{"a": 1 /* one */}', False),
    "a zero byte": (b'{"a": 1}\x00', False),
    "a zero byte in a text": (b'{"a\x00": 1}', False),
    "a tab in a text": (b'{"a\t": 1}', False),
    "an escape that is none": (b'{"\\x61": 1}', False),
    "brackets crossed": (b'{"a": [1}]', False),
    "a key that is no text": (b"{1: 1}", False),
    "a BOM": (b"\xef\xbb\xbf{}", False),
    "UTF-16": ("{}".encode("utf-16"), False),
    "UTF-32": ("{}".encode("utf-32-le"), False),
    "Latin-1": (b'{"\xe9": 1}', False),
    "overlong UTF-8": (b'{"\xc0\xaf": 1}', False),
    "a surrogate in UTF-8": (b'{"\xed\xa0\x80": 1}', False),
    "beyond Unicode": (b'{"\xf4\x90\x80\x80": 1}', False),
    "half a surrogate pair": (b'{"\\ud800": 1}', False),
    "a pair the wrong way round": (b'{"\\udc00\\ud800": 1}', False),
    "a surrogate pair": (b'{"\\ud83d\\ude00": 1}', True),
    "an escaped zero": (b'{"\\u0000": 1}', True),
    "a noncharacter": (b'{"\xef\xbf\xbf": 1}', True),
    "an empty key": (b'{"": 1}', True),
    "equal keys": (b'{"a": 1, "a": 2}', True),
    "blanks around": (b' \n{ "a" : 1 }\r\t', True),
    "101 lists deep": (b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", False),
    "99 lists deep": (b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}", True),
    "100,000 lists deep": (b'{"a": ' + b"[" * 100_000, False),
    "100,000 objects deep": (b'{"a": ' * 100_000, False),
    "a long number": (b'{"a": ' + b"9" * 100_000 + b"}", None),
    "a long key": (b'{"' + b"a" * 100_000 + b'": 1}', True),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, through: Through) -> Client:
    made = tmp_path_factory.mktemp("json")
    serve(made / "var", {"line": folder(made / "line", models.linear(3))})
    return through(create_app(Settings.read({"BATON_HOME": str(made / "var")})))


PATHS = {
    "/predict": b'{"instances": [[%b]]}',
    "/invocations": b'{"inputs": [[%b]]}',
    "/v2/models/line/infer": (
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [%b]}]}'
    ),
}


def status(client: Client, path: str, body: bytes) -> int:
    return client.post(path, data=body, content_type="application/json").status_code


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_number_is_what_json_says_it_is(client: Client, path: str, value: bytes) -> None:
    found = status(client, path, PATHS[path].replace(b"%b", value))
    expected = NUMBERS[value]
    assert found < 500
    assert expected is None or (found == 200) == expected, found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_what_json_says_it_is(client: Client, path: str, name: str) -> None:
    body, is_json = BODIES[name]
    reply = client.post(path, data=body, content_type="application/json")
    assert reply.status_code in (400, 422), reply.text
    said = reply.text
    refused_as_json = "body: " in said
    assert is_json is None or refused_as_json != is_json, said[:200]


def test_of_equal_keys_the_last_counts(client: Client) -> None:
    reply = client.post(
        "/predict",
        data=b'{"instances": [[1]], "instances": [[2]]}',
        content_type="application/json",
    )
    assert reply.json["predictions"] == [[6.0]]  # type: ignore[index]


def test_every_byte_that_is_cut_off_or_changed_is_no_server_error(client: Client) -> None:
    for path, template in PATHS.items():
        body = template.replace(b"%b", b'2.5, "\\u00e9\xc3\xa9"')
        for place in range(len(body)):
            for broken in (
                body[:place],
                body[:place] + b"\xff" + body[place + 1 :],
                body[:place] + b"]" + body[place:],
            ):
                assert status(client, path, broken) in (400, 422), broken
